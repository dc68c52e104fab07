-- In one order for everybody, the fee accounts last: every payout of a
-- workspace meets there. No key changes, so whoever only refers to one need not
-- wait.
SELECT id
FROM ledger_accounts
WHERE id = ANY ($1)
ORDER BY kind = 'platform_fee', id
FOR NO KEY UPDATE
