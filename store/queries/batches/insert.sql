INSERT INTO batches (topic, partition, first_offset, last_offset, outcome_count,
    transaction_count, line_count, previous_hash, hash)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
RETURNING id
