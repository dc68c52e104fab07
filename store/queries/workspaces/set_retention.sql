UPDATE workspaces
SET retention_days = $2
WHERE id = $1
