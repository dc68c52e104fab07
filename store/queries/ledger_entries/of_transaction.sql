SELECT e.line, a.kind AS account_kind, a.owner_id, e.amount_minor, e.currency::text AS currency
FROM ledger_entries e
JOIN ledger_accounts a ON a.id = e.account_id
WHERE e.transaction_id = $1
ORDER BY e.line
