-- Batches that were not checked yet, and, for ClickHouse, that its sink has loaded.
SELECT b.id
FROM batches b
LEFT JOIN reconciled_positions r ON r.part = $1 AND r.topic = b.topic AND r.partition = b.partition
LEFT JOIN sink_positions p ON p.sink = 'outcomes' AND p.topic = b.topic AND p.partition = b.partition
WHERE b.first_offset >= coalesce(r.next_offset, 0)
    AND ($1 = 'books' OR b.last_offset < coalesce(p.next_offset, 0))
ORDER BY b.id
