-- Every funding and every closing that returned something is posted once, and
-- budgets are funded, and returned, by their sum.
SELECT coalesce(f.id, t.source_id)::text AS id,
    format('%s of %s, transactions %s', f.kind, f.amount_minor, count(t.id)) AS detail
FROM (
    SELECT id, 'escrow' AS kind, amount_minor FROM fundings
    UNION ALL
    SELECT id, 'return', amount_minor FROM closings WHERE amount_minor > 0
) f
FULL JOIN (
    SELECT t.*
    FROM ledger_transactions t
    WHERE t.kind = 'escrow'
        -- A refund after the closing returns as well.
        OR t.kind = 'return' AND NOT EXISTS (
            SELECT FROM outcomes o WHERE o.event_id = t.source_id AND o.leg = t.leg AND o.kind = 'refund')
) t ON t.source_id = f.id AND t.kind = f.kind
GROUP BY f.id, f.kind, f.amount_minor, t.source_id
HAVING f.id IS NULL OR count(t.id) <> 1
UNION ALL
SELECT b.campaign_id::text, format('funded %s, fundings sum to %s', b.funded_minor,
    sum(f.amount_minor - f.reward_minor))
FROM campaign_budgets b
LEFT JOIN fundings f ON f.campaign_id = b.campaign_id
GROUP BY b.campaign_id
HAVING b.funded_minor <> coalesce(sum(f.amount_minor - f.reward_minor), 0)
UNION ALL
SELECT b.campaign_id::text, format('returned %s, posted out of escrow %s', b.returned_minor, -sum(e.amount_minor))
FROM campaign_budgets b
LEFT JOIN ledger_accounts a
    ON a.kind = 'campaign_escrow' AND a.owner_id = b.campaign_id AND a.currency = b.currency
LEFT JOIN (
    SELECT e.account_id, e.amount_minor
    FROM ledger_entries e
    JOIN ledger_transactions t ON t.id = e.transaction_id AND t.kind = 'return'
) e ON e.account_id = a.id
GROUP BY b.campaign_id
HAVING b.returned_minor <> -coalesce(sum(e.amount_minor), 0)
