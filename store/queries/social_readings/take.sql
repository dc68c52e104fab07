-- Takes the readings that have waited longest out of the table, for whoever brings them
-- to ClickHouse before this transaction ends; another taker waits until then.
WITH taken AS (
    DELETE FROM social_readings
    WHERE id IN (SELECT id FROM social_readings ORDER BY id LIMIT $1)
    RETURNING *
)
SELECT t.id, t.workspace_id, t.account_id, a.creator_id, a.platform, t.post_id,
    (extract(epoch FROM t.published_at) * 1000)::bigint AS published_at_ms,
    (extract(epoch FROM t.captured_at) * 1000)::bigint AS captured_at_ms,
    t.figures
FROM taken t
JOIN social_accounts a ON a.id = t.account_id
