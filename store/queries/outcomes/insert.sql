INSERT INTO outcomes (
    event_id, leg, batch_id, workspace_id, kind, status, reason, campaign_id, creator_id, link_id,
    click_id, visitor, at, value_minor, value_currency, gross_minor, creator_minor, fee_minor,
    fee_bps, currency, transaction_id, payload_hash, basis, legs, order_key, refund_id,
    original_event_id, original_leg, other_minor)
SELECT
    event_id, leg, $1, workspace_id, kind, status, reason, campaign_id, creator_id, link_id,
    click_id, visitor, to_timestamp(at_ms / 1000.0), value_minor, value_currency, gross_minor,
    creator_minor, fee_minor, fee_bps, currency, transaction_id, payload_hash, basis, legs,
    order_key, refund_id, original_event_id, original_leg, other_minor
FROM unnest(
    $2::uuid[], $3::smallint[], $4::uuid[], $5::text[], $6::text[], $7::text[], $8::uuid[],
    $9::uuid[], $10::uuid[], $11::uuid[], $12::bytea[], $13::bigint[], $14::bigint[], $15::text[],
    $16::bigint[], $17::bigint[], $18::bigint[], $19::integer[], $20::text[], $21::uuid[],
    $22::text[], $23::jsonb[], $24::smallint[], $25::uuid[], $26::text[], $27::uuid[], $28::smallint[],
    $29::bigint[]
) AS new (
    event_id, leg, workspace_id, kind, status, reason, campaign_id, creator_id, link_id, click_id,
    visitor, at_ms, value_minor, value_currency, gross_minor, creator_minor, fee_minor, fee_bps,
    currency, transaction_id, payload_hash, basis, legs, order_key, refund_id, original_event_id,
    original_leg, other_minor)
ON CONFLICT (event_id, leg) DO NOTHING
