-- A workspace's payouts, newest first, or one of them.
SELECT p.id, p.method, p.currency::text AS currency, p.reference, p.item_count, p.total_minor,
    (extract(epoch FROM p.before) * 1000)::bigint AS before_ms,
    (extract(epoch FROM p.created_at) * 1000)::bigint AS created_at_ms,
    s.status, s.sequence, s.actor,
    (extract(epoch FROM s.at) * 1000)::bigint AS changed_at_ms,
    (SELECT (extract(epoch FROM a.at) * 1000)::bigint
     FROM payout_states a WHERE a.payout_id = p.id AND a.status = 'approved') AS approved_at_ms,
    i.completed_count, i.returned_count
FROM payouts p
JOIN LATERAL (
    SELECT * FROM payout_states s WHERE s.payout_id = p.id ORDER BY s.sequence DESC LIMIT 1
) s ON true
JOIN LATERAL (
    SELECT count(*) FILTER (WHERE w.status = 'completed') AS completed_count,
        count(*) FILTER (WHERE w.status = 'failed') AS returned_count
    FROM payout_items i
    JOIN LATERAL (
        SELECT status FROM withdrawal_states w WHERE w.withdrawal_id = i.withdrawal_id
        ORDER BY w.sequence DESC LIMIT 1
    ) w ON true
    WHERE i.payout_id = p.id
) i ON true
WHERE p.workspace_id = $1 AND ($2::uuid IS NULL OR p.id = $2)
ORDER BY p.created_at DESC, p.id DESC
LIMIT $3
