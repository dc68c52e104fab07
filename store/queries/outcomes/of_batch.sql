-- What batches decided, for ClickHouse. A reward's refund is none of a creator's
-- earnings either. The text says fast that there is no reward in it.
SELECT
    o.event_id, o.leg, o.batch_id, o.workspace_id, o.kind, o.status, o.reason, o.campaign_id, o.creator_id,
    o.link_id, o.click_id, o.visitor, (extract(epoch FROM o.at) * 1000)::bigint AS at_ms, o.value_minor,
    o.value_currency::text AS value_currency, o.gross_minor, o.creator_minor, o.fee_minor, o.other_minor,
    o.fee_bps, o.currency::text AS currency, o.transaction_id, o.payload_hash, o.basis, o.refund_id,
    o.original_event_id, o.original_leg,
    strpos(coalesce(s.basis, o.basis)::text, '"sharing"') > 0
        AND (coalesce(s.basis, o.basis) -> 'sharing' ->> 'bps') IS NOT NULL AS is_reward
FROM outcomes o
LEFT JOIN outcomes s ON s.event_id = o.original_event_id AND s.leg = o.original_leg
WHERE o.batch_id = ANY ($1)
ORDER BY o.event_id, o.leg
