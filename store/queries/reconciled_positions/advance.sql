INSERT INTO reconciled_positions (part, topic, partition, next_offset)
SELECT $1, topic, partition, max(last_offset) + 1
FROM batches
WHERE id = ANY ($2)
GROUP BY topic, partition
ON CONFLICT (part, topic, partition) DO UPDATE SET next_offset = excluded.next_offset
