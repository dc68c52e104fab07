INSERT INTO outcomes (
    event_id, leg, batch_id, workspace_id, kind, status, reason, campaign_id, creator_id, link_id,
    click_id, visitor, at, value_minor, value_currency, gross_minor, creator_minor, fee_minor,
    fee_bps, currency, transaction_id, payload_hash, basis, legs, order_key, refund_id,
    original_event_id, original_leg, other_minor)
SELECT
    event_id, leg, $1, workspace_id, kind, status, reason, campaign_id, creator_id, link_id,
    click_id, visitor, to_timestamp(at_ms / 1000.0), value_minor, value_currency, gross_minor,
    creator_minor, fee_minor, fee_bps, currency, transaction_id, payload_hash, basis::json, legs,
    order_key, refund_id, original_event_id, original_leg, other_minor
FROM (
    SELECT
        unnest($2::uuid[]) AS event_id,
        unnest($3::smallint[]) AS leg,
        unnest($4::uuid[]) AS workspace_id,
        unnest($5::text[]) AS kind,
        unnest($6::text[]) AS status,
        unnest($7::text[]) AS reason,
        unnest($8::uuid[]) AS campaign_id,
        unnest($9::uuid[]) AS creator_id,
        unnest($10::uuid[]) AS link_id,
        unnest($11::uuid[]) AS click_id,
        unnest($12::bytea[]) AS visitor,
        unnest($13::bigint[]) AS at_ms,
        unnest($14::bigint[]) AS value_minor,
        unnest($15::text[]) AS value_currency,
        unnest($16::bigint[]) AS gross_minor,
        unnest($17::bigint[]) AS creator_minor,
        unnest($18::bigint[]) AS fee_minor,
        unnest($19::integer[]) AS fee_bps,
        unnest($20::text[]) AS currency,
        unnest($21::uuid[]) AS transaction_id,
        unnest($22::text[]) AS payload_hash,
        unnest($23::text[]) AS basis,
        unnest($24::smallint[]) AS legs,
        unnest($25::uuid[]) AS order_key,
        unnest($26::text[]) AS refund_id,
        unnest($27::uuid[]) AS original_event_id,
        unnest($28::smallint[]) AS original_leg,
        unnest($29::bigint[]) AS other_minor
) new
