SELECT e.transaction_id::text AS id, format('an entry of %s without a transaction', e.amount_minor) AS detail
FROM ledger_entries e
WHERE NOT EXISTS (SELECT FROM ledger_transactions t WHERE t.id = e.transaction_id)
