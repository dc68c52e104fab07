-- The first key of a new installation; a second caller finds it there.
INSERT INTO signing_keys (id, secret)
SELECT 0, $1
WHERE NOT EXISTS (SELECT 1 FROM signing_keys)
ON CONFLICT (id) DO NOTHING
