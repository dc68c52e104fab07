WITH earned AS (
    SELECT workspace_id, creator_id, currency, sum(creator_minor) AS minor
    FROM outcomes
    WHERE status = 'posted' AND creator_minor > 0
    GROUP BY workspace_id, creator_id, currency
), held AS (
    SELECT workspace_id, owner_id AS creator_id, currency, sum(balance_minor) AS minor
    FROM ledger_accounts
    WHERE kind IN ('creator_pending', 'creator_available')
    GROUP BY workspace_id, owner_id, currency
)
SELECT coalesce(e.creator_id, h.creator_id)::text AS id,
    format('earned %s, pending and available %s', coalesce(e.minor, 0), coalesce(h.minor, 0)) AS detail
FROM earned e
FULL JOIN held h USING (workspace_id, creator_id, currency)
WHERE coalesce(e.minor, 0) <> coalesce(h.minor, 0)
LIMIT 20
