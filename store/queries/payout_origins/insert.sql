INSERT INTO payout_origins (workspace_id, origin) VALUES ($1, $2)
