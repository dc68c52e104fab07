-- For hashing: of one batch, or of all transactions of some kinds.
SELECT e.transaction_id, e.line, e.account_id, e.amount_minor, e.currency::text AS currency
FROM ledger_entries e
JOIN ledger_transactions t ON t.id = e.transaction_id
WHERE t.batch_id = $1 OR t.kind = ANY ($2)
