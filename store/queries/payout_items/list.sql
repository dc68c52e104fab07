SELECT i.withdrawal_id, w.creator_id, i.amount_minor, i.account, s.status, s.sequence, s.reason
FROM payout_items i
JOIN withdrawals w ON w.id = i.withdrawal_id
JOIN LATERAL (
    SELECT * FROM withdrawal_states s WHERE s.withdrawal_id = w.id ORDER BY s.sequence DESC LIMIT 1
) s ON true
WHERE i.payout_id = $1
ORDER BY i.withdrawal_id
