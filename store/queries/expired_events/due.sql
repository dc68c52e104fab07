-- Workspaces whose events expire, how far that has come, and what their roll-ups still
-- have to be made of. One of which nothing is rolled up is left alone.
SELECT
    w.id AS workspace_id,
    w.retention_days,
    coalesce(e.before_ms, 0) AS before_ms,
    coalesce(e.deleted_before_ms, 0) AS deleted_before_ms,
    coalesce((extract(epoch FROM now() - e.named_at) * 1000)::bigint, 0) AS named_for_ms,
    (SELECT min(m.hour_ms) FROM rollup_marks m WHERE m.workspace_id = w.id AND m.source = 'events') AS first_mark_ms
FROM workspaces w
LEFT JOIN expired_events e ON e.workspace_id = w.id
WHERE (w.retention_days IS NOT NULL OR e.deleted_before_ms < e.before_ms)
    AND EXISTS (SELECT FROM rollups r WHERE r.workspace_id = w.id AND r.source = 'events' AND r.made_for >= $1)
ORDER BY w.id
