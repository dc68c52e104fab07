-- The newest first: it signs, the others only verify.
SELECT id, secret
FROM signing_keys
WHERE retired_at IS NULL
ORDER BY created_at DESC, id DESC
