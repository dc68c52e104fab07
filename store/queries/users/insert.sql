INSERT INTO users (id, workspace_id, email, username, display_name)
VALUES ($1, $2, $3, $4, $5)
