-- What is in transit is what open withdrawals are for, and none is open for more
-- than 30 days.
WITH open AS (
    SELECT w.*, s.status
    FROM withdrawals w
    JOIN LATERAL (
        SELECT status FROM withdrawal_states s WHERE s.withdrawal_id = w.id ORDER BY sequence DESC LIMIT 1
    ) s ON true
    WHERE s.status IN ('requested', 'processing')
), sums AS (
    SELECT workspace_id, creator_id, currency, sum(amount_minor) AS minor
    FROM open
    GROUP BY workspace_id, creator_id, currency
), transit AS (
    SELECT workspace_id, owner_id AS creator_id, currency, balance_minor AS minor
    FROM ledger_accounts
    WHERE kind = 'creator_in_transit'
)
SELECT coalesce(s.creator_id, t.creator_id)::text AS id,
    format('in transit %s, open withdrawals of %s', coalesce(t.minor, 0), coalesce(s.minor, 0)) AS detail
FROM sums s
FULL JOIN transit t USING (workspace_id, creator_id, currency)
WHERE coalesce(s.minor, 0) <> coalesce(t.minor, 0)
UNION ALL
SELECT id::text, format('%s since %s', status, created_at)
FROM open
WHERE created_at < now() - interval '30 days'
