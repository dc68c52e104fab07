SELECT
    event_id, leg, batch_id, workspace_id, kind, status, reason, campaign_id, creator_id, link_id,
    click_id, visitor, (extract(epoch FROM at) * 1000)::bigint AS at_ms, value_minor,
    value_currency::text AS value_currency, gross_minor, creator_minor, fee_minor, other_minor, fee_bps,
    currency::text AS currency, transaction_id, payload_hash, basis, refund_id,
    original_event_id, original_leg
FROM outcomes
WHERE batch_id = ANY ($1)
ORDER BY event_id, leg
