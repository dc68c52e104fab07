SELECT u.workspace_id, u.id
FROM users u
JOIN user_roles r ON r.user_id = u.id AND r.role = 'creator'
