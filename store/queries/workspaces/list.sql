SELECT
    w.id, w.slug, w.name, w.currency::text AS currency, w.platform_fee_bps, w.time_zone, w.retention_days,
    coalesce(e.before_ms, 0) AS expired_before_ms
FROM workspaces w
LEFT JOIN expired_events e ON e.workspace_id = w.id
ORDER BY w.slug
