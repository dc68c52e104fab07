INSERT INTO api_keys (id, workspace_id, name, key_hash)
VALUES ($1, $2, $3, $4)
