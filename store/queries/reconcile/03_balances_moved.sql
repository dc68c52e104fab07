-- Since the last check every balance has moved by the new batches' entries.
WITH moved AS (
    SELECT account_id, sum(amount_minor) AS minor
    FROM ledger_entries
    WHERE :transaction(transaction_id)
    GROUP BY account_id
)
SELECT a.id::text AS id,
    format('%s balance %s, was %s and moved by %s', a.kind, a.balance_minor,
        coalesce(c.balance_minor, 0), coalesce(m.minor, 0)) AS detail
FROM ledger_accounts a
LEFT JOIN reconciled_accounts c ON c.account_id = a.id
LEFT JOIN moved m ON m.account_id = a.id
WHERE a.balance_minor <> coalesce(c.balance_minor, 0) + coalesce(m.minor, 0)
