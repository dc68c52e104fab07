-- Their buckets whose holds have ended; their accounts are locked, so nothing
-- else touches these.
SELECT id, workspace_id, creator_id, currency::text AS currency,
    (extract(epoch FROM held_until) * 1000)::bigint AS held_until_ms, amount_minor
FROM wallet_buckets
WHERE creator_id = ANY ($2) AND released_at IS NULL AND held_until <= to_timestamp($1::bigint / 1000.0)
ORDER BY held_until, id
FOR UPDATE
