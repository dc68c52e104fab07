INSERT INTO withdrawals (id, workspace_id, creator_id, currency, amount_minor, method, external_id, created_at)
SELECT $1, u.workspace_id, u.id, $4, $5, $6, $7, to_timestamp($8::bigint / 1000.0)
-- Whoever has earned, be it by a boost, belongs to the workspace.
FROM users u
WHERE u.workspace_id = $2 AND u.id = $3
