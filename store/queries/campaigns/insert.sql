INSERT INTO campaigns (id, workspace_id, business_id, title, description, hashtags, objective, currency)
SELECT $1, u.workspace_id, u.id, $4, $5, $6, $7, w.currency
-- The business must belong to the workspace.
FROM users u
JOIN workspaces w ON w.id = u.workspace_id
JOIN user_roles r ON r.user_id = u.id AND r.role = 'business'
WHERE u.workspace_id = $2 AND u.id = $3
