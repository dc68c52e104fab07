-- Every statement opens with what the one before closed with, and closes with
-- that and its lines, each of which is its transaction's change.
SELECT s.id::text AS id,
    format('opens with %s after %s, closes with %s', s.opening_minor, coalesce(last.closing_minor, 0),
        s.closing_minor) AS detail
FROM statements s
LEFT JOIN statements last
    ON last.creator_id = s.creator_id AND last.currency = s.currency AND last.sequence = s.sequence - 1
LEFT JOIN (SELECT statement_id, sum(amount_minor) AS minor FROM statement_lines GROUP BY statement_id) l
    ON l.statement_id = s.id
WHERE s.opening_minor <> coalesce(last.closing_minor, 0)
    OR s.closing_minor <> s.opening_minor + coalesce(l.minor, 0)
    OR (last.id IS NULL AND s.sequence > 1)
UNION ALL
SELECT l.transaction_id::text, format('%s on the statement, %s in the ledger', l.amount_minor, sum(e.amount_minor))
FROM statement_lines l
JOIN statements s ON s.id = l.statement_id
LEFT JOIN ledger_accounts a
    ON a.owner_id = s.creator_id AND a.workspace_id = s.workspace_id AND a.currency = s.currency
    AND a.kind IN ('creator_pending', 'creator_available', 'creator_in_transit', 'creator_debt')
LEFT JOIN ledger_entries e ON e.transaction_id = l.transaction_id AND e.account_id = a.id
GROUP BY l.transaction_id, l.amount_minor
HAVING l.amount_minor <> coalesce(sum(e.amount_minor), 0)
