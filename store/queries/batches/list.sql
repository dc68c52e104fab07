-- All batches, or these, each with the hash of the one before it.
SELECT b.id, b.topic, b.partition, b.first_offset, b.last_offset, b.outcome_count, b.transaction_count,
    b.line_count, b.previous_hash, b.hash, before.hash AS hash_before
FROM batches b
LEFT JOIN batches before
    ON before.topic = b.topic AND before.partition = b.partition AND before.last_offset = b.first_offset - 1
WHERE $1::bigint[] IS NULL OR b.id = ANY ($1)
ORDER BY b.topic, b.partition, b.first_offset
