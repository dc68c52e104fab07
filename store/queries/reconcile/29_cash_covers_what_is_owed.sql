-- What was paid in, less what processors kept and what was paid out, covers
-- campaigns and creators; what creators owe back counts against what they are
-- owed.
WITH sums AS (
    SELECT workspace_id, currency,
        -coalesce(sum(balance_minor) FILTER (WHERE kind IN ('cash', 'creator_paid',
            'processor_fee')), 0) AS cash_minor,
        coalesce(sum(balance_minor) FILTER (WHERE kind IN ('campaign_escrow', 'creator_pending',
            'creator_available', 'creator_in_transit', 'creator_debt')), 0) AS owed_minor
    FROM ledger_accounts
    GROUP BY workspace_id, currency
)
SELECT workspace_id::text AS id, format('cash %s, owed %s %s', cash_minor, owed_minor, currency) AS detail
FROM sums
WHERE cash_minor < owed_minor
