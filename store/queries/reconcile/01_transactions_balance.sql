SELECT transaction_id::text AS id, format('lines in %s sum to %s', currency, sum(amount_minor)) AS detail
FROM ledger_entries
WHERE :transaction(transaction_id)
GROUP BY transaction_id, currency
HAVING sum(amount_minor) <> 0 OR count(*) < 2
