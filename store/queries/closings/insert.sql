INSERT INTO closings (id, batch_id, workspace_id, campaign_id, amount_minor, currency, payload_hash, at)
SELECT id, $1, workspace_id, campaign_id, amount_minor, currency, payload_hash,
    to_timestamp(at_ms / 1000.0)
FROM unnest($2::uuid[], $3::uuid[], $4::uuid[], $5::bigint[], $6::text[], $7::text[], $8::bigint[])
    AS new (id, workspace_id, campaign_id, amount_minor, currency, payload_hash, at_ms)
