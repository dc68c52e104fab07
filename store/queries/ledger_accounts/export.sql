-- Every account, with what it held before a period and after it: the first as
-- the sum of the entries before, the second as the stored balance less what came
-- after. That both lead to the same end is for the reader to check.
WITH outside AS (
    SELECT e.account_id,
        sum(e.amount_minor) FILTER (WHERE t.at < to_timestamp($2::bigint / 1000.0)) AS before_minor,
        sum(e.amount_minor) FILTER (WHERE t.at >= to_timestamp($3::bigint / 1000.0)) AS after_minor
    FROM ledger_entries e
    JOIN ledger_transactions t ON t.id = e.transaction_id
    WHERE t.at < to_timestamp($2::bigint / 1000.0) OR t.at >= to_timestamp($3::bigint / 1000.0)
    GROUP BY e.account_id
)
SELECT a.id, a.workspace_id, w.slug AS workspace, a.kind, a.owner_id, a.currency::text AS currency,
    coalesce(u.display_name, c.title, w.name) AS owner,
    coalesce(o.before_minor, 0)::bigint AS opening_minor,
    (a.balance_minor - coalesce(o.after_minor, 0))::bigint AS closing_minor
FROM ledger_accounts a
LEFT JOIN outside o ON o.account_id = a.id
LEFT JOIN workspaces w ON w.id = a.workspace_id
LEFT JOIN users u ON u.id = a.owner_id
LEFT JOIN campaigns c ON c.id = a.owner_id
WHERE $1::uuid IS NULL OR a.workspace_id = $1
ORDER BY w.slug, a.kind, a.owner_id, a.currency
