-- Whoever owes has nothing available.
SELECT d.owner_id::text AS id,
    format('owes %s, has %s %s available', -d.balance_minor, a.balance_minor, d.currency) AS detail
FROM ledger_accounts d
JOIN ledger_accounts a
    ON a.kind = 'creator_available' AND a.workspace_id = d.workspace_id AND a.owner_id = d.owner_id
    AND a.currency = d.currency
WHERE d.kind = 'creator_debt' AND d.balance_minor < 0 AND a.balance_minor > 0
