SELECT id::text AS id, format('%s balance %s', kind, balance_minor) AS detail
FROM ledger_accounts
WHERE CASE WHEN kind IN ('cash', 'creator_debt') THEN balance_minor > 0 ELSE balance_minor < 0 END
