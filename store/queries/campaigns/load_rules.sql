SELECT
    c.id,
    c.workspace_id,
    c.objective,
    c.currency::text AS currency,
    t.version,
    (extract(epoch FROM t.valid_from) * 1000)::bigint AS valid_from_ms,
    t.status,
    t.pay,
    t.fee_bps,
    t.window_ms,
    t.min_delay_ms,
    t.model,
    t.limits,
    t.share_bps,
    (extract(epoch FROM t.starts_at) * 1000)::bigint AS starts_at_ms,
    (extract(epoch FROM t.ends_at) * 1000)::bigint AS ends_at_ms
FROM campaigns c
JOIN campaign_terms t ON t.campaign_id = c.id
ORDER BY c.id, t.version
