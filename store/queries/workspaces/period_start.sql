-- Where a window that ends before a moment ($3) begins in a time zone ($2); days
-- are the zone's, of 23 to 25 hours. As midnight itself is not in it, the window that
-- ends there is the whole day before.
SELECT (extract(epoch FROM CASE $1
    WHEN 'hour' THEN date_trunc('hour', m.at, $2)
    WHEN 'day' THEN date_trunc('day', m.at, $2)
    WHEN '7d' THEN (date_trunc('day', m.at AT TIME ZONE $2) - interval '6 days') AT TIME ZONE $2
    WHEN '30d' THEN (date_trunc('day', m.at AT TIME ZONE $2) - interval '29 days') AT TIME ZONE $2
    WHEN 'month' THEN date_trunc('month', m.at, $2)
    ELSE to_timestamp(0)
END) * 1000)::bigint
FROM (SELECT to_timestamp(($3 - 1) / 1000.0) AS at) m
