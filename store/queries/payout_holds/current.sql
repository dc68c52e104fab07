SELECT is_on_hold
FROM payout_holds
WHERE creator_id = $1
ORDER BY id DESC
LIMIT 1
