WITH spent AS (
    SELECT a.owner_id AS campaign_id, -sum(e.amount_minor) AS posted_minor
    FROM ledger_entries e
    JOIN ledger_accounts a ON a.id = e.account_id AND a.kind = 'campaign_escrow'
    JOIN ledger_transactions t ON t.id = e.transaction_id AND t.kind IN ('campaign', 'refund')
    GROUP BY a.owner_id
)
SELECT b.campaign_id::text AS id,
    format('spent %s, posted out of escrow %s', b.spent_minor, coalesce(s.posted_minor, 0)) AS detail
FROM campaign_budgets b
LEFT JOIN spent s ON s.campaign_id = b.campaign_id
WHERE b.spent_minor <> coalesce(s.posted_minor, 0)
