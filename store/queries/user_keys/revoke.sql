UPDATE user_keys k
SET revoked_at = clock_timestamp()
FROM users u
WHERE k.id = $2 AND u.id = k.user_id AND u.workspace_id = $1 AND k.revoked_at IS NULL
