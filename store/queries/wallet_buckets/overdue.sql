SELECT count(*)
FROM wallet_buckets
WHERE released_at IS NULL AND held_until <= to_timestamp($1::bigint / 1000.0)
