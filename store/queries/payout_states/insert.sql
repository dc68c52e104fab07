INSERT INTO payout_states (payout_id, sequence, status, actor, at)
VALUES ($1, $2, $3, $4, to_timestamp($5::bigint / 1000.0))
