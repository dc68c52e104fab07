SELECT a.id::text AS id, format('%s balance %s, entries sum to %s', a.kind, a.balance_minor,
    coalesce(sum(e.amount_minor), 0)) AS detail
FROM ledger_accounts a
LEFT JOIN ledger_entries e ON e.account_id = a.id
GROUP BY a.id
HAVING a.balance_minor <> coalesce(sum(e.amount_minor), 0)
