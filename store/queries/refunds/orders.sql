-- The settled sales and refunds of these orders.
SELECT order_key, event_id, leg, legs, kind, (extract(epoch FROM at) * 1000)::bigint AS at_ms,
    campaign_id, creator_id, link_id, click_id, value_minor, value_currency::text AS value_currency,
    gross_minor, creator_minor, fee_minor, other_minor, fee_bps, currency::text AS currency,
    refund_id, original_event_id, original_leg
FROM outcomes
WHERE order_key = ANY ($1)
    -- Another report of an order is no sale: the first has its own outcome.
    AND (kind = 'refund' OR reason IS DISTINCT FROM 'duplicate_transaction')
ORDER BY order_key, kind = 'refund', event_id, leg
