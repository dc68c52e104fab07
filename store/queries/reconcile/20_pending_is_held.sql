-- Every creator's pending balance is what their open buckets hold; each bucket
-- was released once, by a posting of its amount; none is overdue by an hour.
WITH held AS (
    SELECT workspace_id, creator_id, currency, sum(amount_minor) AS minor
    FROM wallet_buckets
    WHERE released_at IS NULL
    GROUP BY workspace_id, creator_id, currency
), pending AS (
    SELECT workspace_id, owner_id AS creator_id, currency, balance_minor AS minor
    FROM ledger_accounts
    WHERE kind = 'creator_pending'
), released AS (
    SELECT t.id, t.source_id, -sum(e.amount_minor) AS minor
    FROM ledger_transactions t
    JOIN ledger_entries e ON e.transaction_id = t.id
    JOIN ledger_accounts a ON a.id = e.account_id AND a.kind = 'creator_pending'
    WHERE t.kind = 'release'
    GROUP BY t.id
)
SELECT coalesce(h.creator_id, p.creator_id)::text AS id,
    format('pending %s, held %s', coalesce(p.minor, 0), coalesce(h.minor, 0)) AS detail
FROM held h
FULL JOIN pending p USING (workspace_id, creator_id, currency)
WHERE coalesce(h.minor, 0) <> coalesce(p.minor, 0)
UNION ALL
SELECT coalesce(b.id, r.source_id)::text, format('bucket of %s, released by %s of %s', b.amount_minor, r.id, r.minor)
FROM (SELECT * FROM wallet_buckets WHERE released_at IS NOT NULL AND amount_minor > 0) b
FULL JOIN released r ON r.source_id = b.id
WHERE b.transaction_id IS DISTINCT FROM r.id OR b.amount_minor IS DISTINCT FROM r.minor
UNION ALL
SELECT id::text, format('held until %s, and not released', held_until)
FROM wallet_buckets
WHERE released_at IS NULL AND amount_minor > 0
    -- Earnings may come in when their hold is over already.
    AND greatest(held_until, created_at) < now() - interval '1 hour'
