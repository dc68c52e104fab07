-- The rows that exist are locked by the caller.
INSERT INTO campaign_budgets AS b (campaign_id, workspace_id, currency, funded_minor,
    available_minor, spent_minor, returned_minor, exhausted_at, closed_at)
SELECT campaign_id, workspace_id, currency, funded_minor, available_minor, spent_minor,
    returned_minor, to_timestamp(exhausted_at_ms / 1000.0), to_timestamp(closed_at_ms / 1000.0)
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[],
    $7::bigint[], $8::bigint[], $9::bigint[])
    AS new (campaign_id, workspace_id, currency, funded_minor, available_minor, spent_minor,
        returned_minor, exhausted_at_ms, closed_at_ms)
ON CONFLICT (campaign_id) DO UPDATE
SET funded_minor = excluded.funded_minor,
    available_minor = excluded.available_minor,
    spent_minor = excluded.spent_minor,
    returned_minor = excluded.returned_minor,
    exhausted_at = excluded.exhausted_at,
    closed_at = excluded.closed_at
