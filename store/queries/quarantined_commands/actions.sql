-- Decisions on actions that were put aside, with their campaign and day.
SELECT id, (command ->> 'campaign')::uuid AS campaign_id,
    (to_timestamp((command ->> 'at_ms')::bigint / 1000.0) AT TIME ZONE 'UTC')::date::text AS day
FROM quarantined_commands
WHERE command ->> 'command' = 'credit'
    AND (command ->> 'at_ms')::bigint >= $1 AND (command ->> 'at_ms')::bigint < $2
