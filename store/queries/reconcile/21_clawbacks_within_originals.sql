-- No more is taken back of a leg than was paid for it; no refund is lost: one
-- whose sale is settled is on its way, and one that was sent has an outcome.
WITH taken AS (
    SELECT original_event_id, original_leg, -sum(creator_minor) AS creator_minor, -sum(fee_minor) AS fee_minor,
        -sum(coalesce(other_minor, 0)) AS other_minor
    FROM outcomes
    WHERE kind = 'refund' AND status = 'posted'
    GROUP BY original_event_id, original_leg
)
SELECT o.event_id::text AS id,
    format('paid %s and %s, taken back %s and %s', o.creator_minor, o.fee_minor, t.creator_minor, t.fee_minor)
        AS detail
FROM taken t
JOIN outcomes o ON o.event_id = t.original_event_id AND o.leg = t.original_leg
WHERE o.status <> 'posted' OR t.creator_minor > o.creator_minor OR t.fee_minor > o.fee_minor
    OR t.other_minor > coalesce(o.other_minor, 0)
UNION ALL
SELECT r.event_id::text, 'its sale is settled, and it is not on its way'
FROM refunds r
WHERE r.resolved_at IS NULL
    AND EXISTS (
        SELECT FROM outcomes o
        WHERE o.order_key = r.order_key AND o.kind <> 'refund'
            AND o.reason IS DISTINCT FROM 'duplicate_transaction')
    AND NOT EXISTS (
        SELECT FROM outcomes o
        WHERE o.order_key = r.order_key AND o.kind <> 'refund'
            AND o.reason IS DISTINCT FROM 'duplicate_transaction'
            AND (SELECT count(*) FROM outcomes l WHERE l.event_id = o.event_id) < o.legs)
UNION ALL
SELECT r.event_id::text, format('sent to its campaign at %s, and has no outcome', r.sent_at)
FROM refunds r
WHERE r.sent_at < now() - interval '10 minutes'
    AND NOT EXISTS (SELECT FROM outcomes o WHERE o.event_id = r.event_id)
    AND NOT EXISTS (SELECT FROM quarantined_commands q WHERE q.id = r.event_id)
