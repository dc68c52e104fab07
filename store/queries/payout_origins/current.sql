SELECT origin
FROM payout_origins
WHERE workspace_id = $1
ORDER BY id DESC
LIMIT 1
