SELECT (extract(epoch FROM max(period_end)) * 1000)::bigint
FROM statements
WHERE creator_id = $1 AND currency = $2
