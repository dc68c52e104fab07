-- The lowest free number gets the new secret; a number is never used twice.
INSERT INTO signing_keys (id, secret)
SELECT number, $1
FROM generate_series(0, 255) AS number
WHERE NOT EXISTS (SELECT 1 FROM signing_keys k WHERE k.id = number)
ORDER BY number
LIMIT 1
RETURNING id
