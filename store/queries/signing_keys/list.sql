-- The newest that is not on its way out signs; the others only verify.
SELECT id, secret
FROM signing_keys
WHERE retired_at IS NULL OR retired_at > now()
ORDER BY retired_at IS NULL DESC, created_at DESC, id DESC
