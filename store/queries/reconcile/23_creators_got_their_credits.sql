-- What was credited, less what refunds took, or was a boost's reward, is pending, available, in transit
-- or paid; a debt counts below 0.
WITH earned AS (
    SELECT workspace_id, creator_id, currency, sum(minor) AS minor
    FROM (
        SELECT workspace_id, creator_id, currency, creator_minor AS minor
        FROM outcomes
        WHERE status = 'posted' AND creator_minor <> 0
        UNION ALL
        SELECT workspace_id, supporter_id, currency, reward_minor FROM fundings WHERE reward_minor <> 0
    ) credits
    GROUP BY workspace_id, creator_id, currency
), held AS (
    SELECT workspace_id, owner_id AS creator_id, currency, sum(balance_minor) AS minor
    FROM ledger_accounts
    WHERE kind IN ('creator_pending', 'creator_available', 'creator_in_transit', 'creator_paid',
        'creator_debt')
    GROUP BY workspace_id, owner_id, currency
)
SELECT coalesce(e.creator_id, h.creator_id)::text AS id,
    format('earned %s, held, owed and paid %s', coalesce(e.minor, 0), coalesce(h.minor, 0)) AS detail
FROM earned e
FULL JOIN held h USING (workspace_id, creator_id, currency)
WHERE coalesce(e.minor, 0) <> coalesce(h.minor, 0)
