-- Withdrawals that were asked for before $4 and are in no payout, with the
-- account of kind $5 that each creator named last.
SELECT w.id, w.creator_id, w.amount_minor, a.account
FROM withdrawals w
LEFT JOIN LATERAL (
    SELECT account
    FROM payout_accounts a
    WHERE a.creator_id = w.creator_id AND a.kind = $5
    ORDER BY a.id DESC
    LIMIT 1
) a ON true
WHERE w.workspace_id = $1 AND w.method = $2 AND w.currency = $3
    AND w.created_at < to_timestamp($4::bigint / 1000.0)
    AND (SELECT s.status FROM withdrawal_states s WHERE s.withdrawal_id = w.id
         ORDER BY s.sequence DESC LIMIT 1) = 'requested'
    AND NOT EXISTS (
        SELECT FROM payout_items i
        WHERE i.withdrawal_id = w.id
            AND (SELECT s.status FROM payout_states s WHERE s.payout_id = i.payout_id
                 ORDER BY s.sequence DESC LIMIT 1) <> 'cancelled')
ORDER BY w.id
