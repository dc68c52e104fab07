-- For an audit: the accounts that batches moved.
SELECT id, kind, owner_id, balance_minor
FROM ledger_accounts
WHERE :account(id)
