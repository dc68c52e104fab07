INSERT INTO withdrawals (id, workspace_id, creator_id, currency, amount_minor, method, external_id, created_at)
SELECT $1, u.workspace_id, u.id, $4, $5, $6, $7, to_timestamp($8::bigint / 1000.0)
-- The creator must belong to the workspace.
FROM users u
JOIN user_roles r ON r.user_id = u.id AND r.role = 'creator'
WHERE u.workspace_id = $2 AND u.id = $3
