-- Earnings go into the bucket of the moment until which they are held. The
-- caller holds the locks of the creators' accounts.
INSERT INTO wallet_buckets (workspace_id, creator_id, currency, held_until, amount_minor)
SELECT workspace_id, creator_id, currency,
    wallet_held_until(workspace_id, to_timestamp(earned_at_ms / 1000.0)) AS held_until,
    sum(amount_minor)
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bigint[], $5::bigint[])
    AS new (workspace_id, creator_id, currency, earned_at_ms, amount_minor)
GROUP BY 1, 2, 3, 4
ORDER BY 1, 2, 3, 4
ON CONFLICT (workspace_id, creator_id, currency, held_until) WHERE released_at IS NULL
DO UPDATE SET amount_minor = wallet_buckets.amount_minor + excluded.amount_minor
