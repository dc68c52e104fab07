UPDATE refunds r
SET sent_at = clock_timestamp()
FROM unnest($1::uuid[], $2::text[]) AS done (event_id, payload_hash)
WHERE r.event_id = done.event_id AND r.payload_hash = done.payload_hash AND r.sent_at IS NULL
