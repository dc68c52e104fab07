-- The fee is the snapshot rate's share, halves up; the snapshot is the rate in
-- force at the event's own time, where the campaign or workspace is still known.
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
) c ON true
LEFT JOIN LATERAL (
    SELECT rates
    FROM payment_terms t
    WHERE o.kind IN ('tip', 'live_sale', 'purchase') AND t.workspace_id = o.workspace_id
        AND (t.valid_from <= o.at OR t.version = 1)
    ORDER BY t.version DESC
    LIMIT 1
) p ON true
LEFT JOIN LATERAL (
    SELECT tier
    FROM seller_tiers s
    WHERE o.kind = 'purchase' AND s.seller_id = o.creator_id
        AND s.workspace_id = o.workspace_id AND s.valid_from <= o.at
    ORDER BY s.valid_from DESC
    LIMIT 1
) s ON true
CROSS JOIN LATERAL (
    SELECT coalesce(c.fee_bps, CASE o.kind
        WHEN 'tip' THEN (p.rates ->> 'tip_fee_bps')::integer
        WHEN 'live_sale' THEN (p.rates ->> 'live_sale_fee_bps')::integer
        WHEN 'purchase' THEN (coalesce(p.rates -> 'commission_bps' -> s.tier,
            p.rates -> 'commission_bps' -> (p.rates ->> 'default_tier')))::integer
    END) AS fee_bps
) t
WHERE :batch(o.batch_id) AND o.status = 'posted' AND o.kind <> 'refund'
    AND (o.fee_minor <> (o.gross_minor::numeric * o.fee_bps + 5000)::bigint / 10000
        OR o.fee_bps <> coalesce(t.fee_bps, o.fee_bps))
