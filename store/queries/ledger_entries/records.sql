-- For hashing: of one batch, or of all.
SELECT e.transaction_id, e.line, e.account_id, e.amount_minor, e.currency::text AS currency
FROM ledger_entries e
JOIN ledger_transactions t ON t.id = e.transaction_id
WHERE $1::bigint IS NULL OR t.batch_id = $1
