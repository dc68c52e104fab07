-- One change per account; the caller has summed them and holds the locks.
UPDATE ledger_accounts a
SET balance_minor = a.balance_minor + change.amount_minor
FROM unnest($1::uuid[], $2::bigint[]) AS change (id, amount_minor)
WHERE a.id = change.id
