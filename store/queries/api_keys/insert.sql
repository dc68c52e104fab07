INSERT INTO api_keys (id, workspace_id, name, key_hash, is_public)
VALUES ($1, $2, $3, $4, $5)
