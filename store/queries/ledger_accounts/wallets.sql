-- What these creators have available and owe.
SELECT workspace_id, owner_id AS creator_id, currency::text AS currency, kind, balance_minor
FROM ledger_accounts
WHERE id = ANY ($1)
