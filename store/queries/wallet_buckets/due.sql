-- Whose holds have ended by $1: the first few creators.
SELECT DISTINCT workspace_id, creator_id, currency::text AS currency
FROM (
    SELECT workspace_id, creator_id, currency
    FROM wallet_buckets
    WHERE released_at IS NULL AND held_until <= to_timestamp($1::bigint / 1000.0)
    ORDER BY held_until
    LIMIT $2
) first
