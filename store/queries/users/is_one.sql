SELECT EXISTS (SELECT FROM users WHERE id = $2 AND workspace_id = $1)
