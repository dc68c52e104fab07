-- How many decisions on actions were put aside, by campaign and day.
SELECT (command ->> 'campaign')::uuid AS campaign_id,
    (to_timestamp((command ->> 'at_ms')::bigint / 1000.0) AT TIME ZONE 'UTC')::date::text AS day, count(*)
FROM quarantined_commands
WHERE command ->> 'command' = 'credit'
    AND (command ->> 'at_ms')::bigint >= $1 AND (command ->> 'at_ms')::bigint < $2
GROUP BY 1, 2
