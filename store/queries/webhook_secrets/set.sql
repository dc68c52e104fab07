INSERT INTO webhook_secrets (workspace_id, provider, secret) VALUES ($1, $2, $3)
ON CONFLICT (workspace_id, provider) DO UPDATE SET secret = excluded.secret
