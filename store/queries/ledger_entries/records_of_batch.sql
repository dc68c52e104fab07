-- For hashing: what a batch wrote.
SELECT e.transaction_id, e.line, e.account_id, e.amount_minor, e.currency::text AS currency
FROM ledger_transactions t
JOIN ledger_entries e ON e.transaction_id = t.id
WHERE t.batch_id = $1
