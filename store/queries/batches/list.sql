SELECT id, topic, partition, first_offset, last_offset, outcome_count, transaction_count,
    line_count, previous_hash, hash
FROM batches
ORDER BY topic, partition, first_offset
