-- Where hours, days, weeks or months ($1) of a time zone ($2) begin, from the one
-- that a moment ($3) is in to before another ($4); at most $5 of them. Hours follow
-- each other in real time, days and what is longer on the zone's calendar; and how
-- far its clocks are ahead of UTC then.
SELECT (extract(epoch FROM bucket) * 1000)::bigint AS from_ms,
    (extract(epoch FROM (bucket AT TIME ZONE $2) - (bucket AT TIME ZONE 'UTC')) / 60)::integer AS ahead_minutes
FROM (
    SELECT generate_series(date_trunc('hour', m.from_at, $2), m.last_at, interval '1 hour') AS bucket
    FROM (SELECT to_timestamp($3 / 1000.0) AS from_at, to_timestamp(($4 - 1) / 1000.0) AS last_at) m
    WHERE $1 = 'hour'
    UNION ALL
    SELECT generate_series(date_trunc($1, m.from_at AT TIME ZONE $2), m.last_at AT TIME ZONE $2,
        ('1 ' || $1)::interval) AT TIME ZONE $2
    FROM (SELECT to_timestamp($3 / 1000.0) AS from_at, to_timestamp(($4 - 1) / 1000.0) AS last_at) m
    WHERE $1 <> 'hour'
) b
ORDER BY bucket
LIMIT $5
