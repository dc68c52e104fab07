-- A key for a user of the workspace, in a role that they have.
INSERT INTO user_keys (id, user_id, role, name, key_hash)
SELECT $1, r.user_id, r.role, $5, $6
FROM user_roles r
JOIN users u ON u.id = r.user_id
WHERE u.workspace_id = $2 AND r.user_id = $3 AND r.role = $4
