-- By id or by slug; an id wins over a slug that looks like one.
SELECT
    w.id, w.slug, w.name, w.currency::text AS currency, w.platform_fee_bps, w.time_zone, w.retention_days,
    coalesce(e.before_ms, 0) AS expired_before_ms
FROM workspaces w
LEFT JOIN expired_events e ON e.workspace_id = w.id
WHERE w.id = $1 OR w.slug = $2
ORDER BY (w.id = $1) IS TRUE DESC
LIMIT 1
