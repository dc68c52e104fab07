-- When the first batch was settled that the sink has not loaded.
SELECT (extract(epoch FROM min(b.created_at)) * 1000)::bigint
FROM batches b
LEFT JOIN sink_positions p ON p.sink = $1 AND p.topic = b.topic AND p.partition = b.partition
WHERE b.outcome_count > 0 AND b.last_offset >= coalesce(p.next_offset, 0)
