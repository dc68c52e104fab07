-- Its closing is known only when its lines are, so it comes after them: the
-- reference is checked at the end of the transaction.
INSERT INTO statements (id, workspace_id, creator_id, currency, sequence, period_end, opening_minor,
    closing_minor, issued_by)
SELECT $1, $2, $3, $4,
    coalesce(last.sequence, 0) + 1,
    to_timestamp($5::bigint / 1000.0),
    coalesce(last.closing_minor, 0),
    coalesce(last.closing_minor, 0)
        + (SELECT coalesce(sum(amount_minor), 0) FROM statement_lines WHERE statement_id = $1),
    $6
FROM (VALUES (1)) AS one
LEFT JOIN LATERAL (
    SELECT sequence, closing_minor
    FROM statements
    WHERE creator_id = $3 AND currency = $4
    ORDER BY sequence DESC
    LIMIT 1
) last ON true
