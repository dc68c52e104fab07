INSERT INTO withdrawal_states (withdrawal_id, sequence, status, actor, reason, at)
VALUES ($1, $2, $3, $4, $5, to_timestamp($6::bigint / 1000.0))
