-- Posted if, and only if, there is exactly one transaction, which the outcome
-- names and which moves what the outcome says out of escrow, or of a payment
-- into cash, or back.
WITH posting AS (
    SELECT t.id, t.source_id, t.leg, -sum(e.amount_minor) AS gross_minor
    FROM ledger_transactions t
    JOIN ledger_entries e ON e.transaction_id = t.id
    JOIN ledger_accounts a ON a.id = e.account_id AND a.kind IN ('campaign_escrow', 'cash')
    WHERE t.kind IN ('campaign', 'payment', 'refund') AND :batch(t.batch_id)
    GROUP BY t.id
)
SELECT coalesce(o.event_id, p.source_id)::text AS id,
    format('outcome %s of %s, transaction %s of %s', coalesce(o.status, 'missing'), o.gross_minor,
        p.id, p.gross_minor) AS detail
FROM (SELECT * FROM outcomes WHERE :batch(batch_id)) o
FULL JOIN posting p ON p.source_id = o.event_id AND p.leg = o.leg
WHERE o.event_id IS NULL
    OR (o.status = 'posted') <> (p.id IS NOT NULL)
    OR o.transaction_id IS DISTINCT FROM p.id
    OR o.gross_minor IS DISTINCT FROM p.gross_minor
