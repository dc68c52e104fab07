-- What was credited, less what refunds took, is pending, available, in transit
-- or paid; a debt counts below 0.
WITH earned AS (
    SELECT workspace_id, creator_id, currency, sum(creator_minor) AS minor
    FROM outcomes
    WHERE status = 'posted' AND creator_minor <> 0
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
LIMIT 20
