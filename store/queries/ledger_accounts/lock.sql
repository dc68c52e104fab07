-- In one order for everybody, the fee accounts last: every payout of a
-- workspace meets there. Entries that refer to an account share its key (FOR KEY
-- SHARE), which a stronger lock would wait for: two settlers that have each
-- written entries would then wait for each other.
SELECT id
FROM ledger_accounts
WHERE id = ANY ($1)
ORDER BY kind = 'platform_fee', id
FOR NO KEY UPDATE
