-- The origin that a payout approved at $2 leaves from: what was set then, or, if
-- nothing was, what was set first.
SELECT origin
FROM payout_origins
WHERE workspace_id = $1
ORDER BY at <= to_timestamp($2::bigint / 1000.0) DESC,
    CASE WHEN at <= to_timestamp($2::bigint / 1000.0) THEN -id ELSE id END
LIMIT 1
