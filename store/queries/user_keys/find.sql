SELECT u.id AS user_id, u.workspace_id, k.role
FROM user_keys k
JOIN users u ON u.id = k.user_id
WHERE k.key_hash = $1 AND k.revoked_at IS NULL
