SELECT id, display_name FROM users WHERE workspace_id = $1 AND id = ANY ($2)
