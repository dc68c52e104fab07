-- The next transactions after $2, in the order of their ids, which begin with
-- their times.
SELECT t.id AS transaction_id, t.workspace_id, t.kind, t.source_id, t.leg,
    (extract(epoch FROM t.at) * 1000)::bigint AS at_ms,
    e.line, e.account_id, e.amount_minor, e.currency::text AS currency
FROM (
    SELECT *
    FROM ledger_transactions
    WHERE id > $2 AND ($1::uuid IS NULL OR workspace_id = $1)
        AND at >= to_timestamp($3::bigint / 1000.0) AND at < to_timestamp($4::bigint / 1000.0)
    ORDER BY id
    LIMIT $5
) t
JOIN ledger_entries e ON e.transaction_id = t.id
ORDER BY t.id, e.line
