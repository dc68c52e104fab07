INSERT INTO reconciled_accounts AS r (account_id, balance_minor)
SELECT id, balance_minor FROM ledger_accounts
ON CONFLICT (account_id) DO UPDATE SET balance_minor = excluded.balance_minor
WHERE r.balance_minor <> excluded.balance_minor
