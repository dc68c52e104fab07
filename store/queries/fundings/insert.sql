INSERT INTO fundings (id, batch_id, workspace_id, campaign_id, external_id, amount_minor, currency,
    payload_hash, at, supporter_id, reward_minor)
SELECT id, $1, workspace_id, campaign_id, external_id, amount_minor, currency, payload_hash,
    to_timestamp(at_ms / 1000.0), supporter_id, reward_minor
FROM unnest($2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::bigint[], $7::text[], $8::text[],
    $9::bigint[], $10::uuid[], $11::bigint[])
    AS new (id, workspace_id, campaign_id, external_id, amount_minor, currency, payload_hash, at_ms,
        supporter_id, reward_minor)
