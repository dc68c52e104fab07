-- Every withdrawal's steps lead forward, and each that moves money has its one
-- posting, of the withdrawal's amount.
WITH steps AS (
    SELECT w.id, w.amount_minor, s.sequence, s.status,
        lag(s.status, 1, '') OVER (PARTITION BY w.id ORDER BY s.sequence) AS before,
        CASE s.status
            WHEN 'requested' THEN 'withdrawal'
            WHEN 'completed' THEN 'withdrawal_completed'
            WHEN 'failed' THEN 'withdrawal_returned'
            WHEN 'cancelled' THEN 'withdrawal_returned'
        END AS kind
    FROM withdrawals w
    LEFT JOIN withdrawal_states s ON s.withdrawal_id = w.id
), postings AS (
    SELECT t.source_id, t.kind, abs(sum(e.amount_minor)) AS minor
    FROM ledger_transactions t
    JOIN ledger_entries e ON e.transaction_id = t.id
    JOIN ledger_accounts a ON a.id = e.account_id AND a.kind = 'creator_in_transit'
    WHERE t.kind LIKE 'withdrawal%'
    GROUP BY t.id
)
SELECT coalesce(s.id, p.source_id)::text AS id,
    format('%s of %s after %s; posted %s of %s', s.status, s.amount_minor, s.before, p.kind, p.minor) AS detail
FROM (SELECT * FROM steps WHERE kind IS NOT NULL OR status IS NULL) s
FULL JOIN postings p ON p.source_id = s.id AND p.kind = s.kind
WHERE s.amount_minor IS DISTINCT FROM p.minor
UNION ALL
SELECT id::text, format('%s after %s', status, before)
FROM steps
WHERE (before, status) NOT IN (('', 'requested'), ('requested', 'processing'), ('requested', 'cancelled'),
    ('processing', 'completed'), ('processing', 'failed'))
