SELECT workspace_id, creator_id, currency::text AS currency,
    (extract(epoch FROM held_until) * 1000)::bigint AS held_until_ms, amount_minor
FROM wallet_buckets
WHERE creator_id = ANY ($1) AND released_at IS NULL
