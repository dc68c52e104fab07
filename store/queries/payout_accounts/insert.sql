INSERT INTO payout_accounts (creator_id, kind, account, actor)
SELECT u.id, $3, $4, $5
FROM users u
WHERE u.workspace_id = $1 AND u.id = $2
