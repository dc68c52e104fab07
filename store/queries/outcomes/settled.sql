-- Every outcome, or those of batches $2, and whether sink $1 says that it has loaded its batch.
SELECT o.event_id, o.leg, o.status, coalesce(o.gross_minor, 0) AS gross_minor,
    b.last_offset < coalesce(p.next_offset, 0) AS is_loaded
FROM outcomes o
JOIN batches b ON b.id = o.batch_id
LEFT JOIN sink_positions p ON p.sink = $1 AND p.topic = b.topic AND p.partition = b.partition
WHERE $2::bigint[] IS NULL OR o.batch_id = ANY ($2)
