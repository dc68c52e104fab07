-- A workspace's withdrawals, newest first: one, one creator's, those that stand
-- at one status, or the one with an external id.
SELECT w.id, w.creator_id, w.currency::text AS currency, w.amount_minor, w.method, w.external_id,
    s.status, s.sequence, s.actor, s.reason,
    (extract(epoch FROM w.created_at) * 1000)::bigint AS created_at_ms,
    (extract(epoch FROM s.at) * 1000)::bigint AS changed_at_ms
FROM withdrawals w
JOIN LATERAL (
    SELECT *
    FROM withdrawal_states s
    WHERE s.withdrawal_id = w.id
    ORDER BY s.sequence DESC
    LIMIT 1
) s ON true
WHERE w.workspace_id = $1
    AND ($2::uuid IS NULL OR w.id = $2)
    AND ($3::uuid IS NULL OR w.creator_id = $3)
    AND ($4::text IS NULL OR s.status = $4)
    AND ($5::text IS NULL OR w.external_id = $5)
ORDER BY w.created_at DESC, w.id DESC
LIMIT $6
