SELECT kind, currency::text AS currency, balance_minor
FROM ledger_accounts
WHERE workspace_id = $1 AND owner_id = $2
ORDER BY kind, currency
