-- All batches, or these, each with the hash of the one before it.
SELECT *
FROM (
    SELECT id, topic, partition, first_offset, last_offset, outcome_count, transaction_count,
        line_count, previous_hash, hash,
        lag(hash) OVER (PARTITION BY topic, partition ORDER BY first_offset) AS hash_before
    FROM batches
) b
WHERE $1::bigint[] IS NULL OR id = ANY ($1)
ORDER BY topic, partition, first_offset
