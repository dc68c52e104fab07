INSERT INTO payouts (id, workspace_id, method, currency, reference, before, item_count, total_minor,
    created_at)
VALUES ($1, $2, $3, $4, $5, to_timestamp($6::bigint / 1000.0), $7, $8, to_timestamp($9::bigint / 1000.0))
