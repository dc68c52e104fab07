-- The fee is the snapshot rate's share, halves up; the snapshot is the rate in
-- force at the event's own time, where the campaign is still known.
SELECT o.event_id::text AS id,
    format('fee %s of %s at %s bps; terms say %s', o.fee_minor, o.gross_minor, o.fee_bps, t.fee_bps)
        AS detail
FROM outcomes o
LEFT JOIN LATERAL (
    SELECT fee_bps
    FROM campaign_terms t
    WHERE t.campaign_id = o.campaign_id AND (t.valid_from <= o.at OR t.version = 1)
    ORDER BY t.version DESC
    LIMIT 1
) t ON true
WHERE o.status = 'posted' AND o.kind <> 'refund'
    AND (o.fee_minor <> (o.gross_minor::numeric * o.fee_bps + 5000)::bigint / 10000
        OR o.fee_bps <> coalesce(t.fee_bps, o.fee_bps))
LIMIT 20
