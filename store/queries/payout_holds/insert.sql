INSERT INTO payout_holds (creator_id, is_on_hold, reason)
SELECT u.id, $3, $4
FROM users u
JOIN user_roles r ON r.user_id = u.id AND r.role = 'creator'
WHERE u.workspace_id = $1 AND u.id = $2
