-- For an audit: the lines of what batches posted.
SELECT transaction_id, line, account_id, amount_minor, currency
FROM ledger_entries
WHERE :transaction(transaction_id)
