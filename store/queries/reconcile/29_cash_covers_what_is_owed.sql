SELECT workspace_id::text AS id,
    format('cash %s, owed to creators and campaigns %s %s',
        -sum(balance_minor) FILTER (WHERE kind = 'cash'),
        sum(balance_minor) FILTER (WHERE kind IN ('campaign_escrow', 'creator_pending', 'creator_available')),
        currency) AS detail
FROM ledger_accounts
GROUP BY workspace_id, currency
HAVING -coalesce(sum(balance_minor) FILTER (WHERE kind = 'cash'), 0)
    < coalesce(sum(balance_minor) FILTER (WHERE kind IN ('campaign_escrow', 'creator_pending', 'creator_available')), 0)
LIMIT 20
