-- The next batches of a partition, in the order of the log.
SELECT id, first_offset, last_offset, outcome_count
FROM batches
WHERE topic = $1 AND partition = $2 AND first_offset >= $3
ORDER BY first_offset
LIMIT $4
