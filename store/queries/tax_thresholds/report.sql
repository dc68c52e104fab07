-- What each creator was paid within a calendar year of the workspace's time zone,
-- beside the threshold that is in force for it. What was paid and came back
-- within the year was not paid.
WITH year AS (
    SELECT make_timestamptz($2, 1, 1, 0, 0, 0, time_zone) AS first,
        make_timestamptz($2 + 1, 1, 1, 0, 0, 0, time_zone) AS next
    FROM workspaces
    WHERE id = $1
), threshold AS (
    SELECT DISTINCT ON (form, currency) form, currency, amount_minor
    FROM tax_thresholds
    WHERE workspace_id = $1 AND from_year <= $2
    ORDER BY form, currency, from_year DESC, id DESC
), paid AS (
    SELECT a.owner_id AS creator_id, a.currency, sum(e.amount_minor) AS paid_minor
    FROM ledger_accounts a
    JOIN ledger_entries e ON e.account_id = a.id
    JOIN ledger_transactions t ON t.id = e.transaction_id
    JOIN year ON t.at >= year.first AND t.at < year.next
    WHERE a.workspace_id = $1 AND a.kind = 'creator_paid'
    GROUP BY a.owner_id, a.currency
)
SELECT t.form, p.creator_id, u.username, u.display_name, u.email, p.currency::text AS currency,
    p.paid_minor::bigint AS paid_minor, t.amount_minor AS threshold_minor,
    p.paid_minor >= t.amount_minor AS is_due,
    ARRAY(
        SELECT d.kind
        FROM (
            SELECT DISTINCT ON (kind) kind, status
            FROM creator_documents
            WHERE creator_id = p.creator_id
            ORDER BY kind, id DESC
        ) d
        WHERE d.status = 'approved'
        ORDER BY d.kind
    ) AS documents
FROM paid p
JOIN threshold t ON t.currency = p.currency
JOIN users u ON u.id = p.creator_id
WHERE p.paid_minor > 0
ORDER BY t.form, p.currency, p.paid_minor DESC, p.creator_id
