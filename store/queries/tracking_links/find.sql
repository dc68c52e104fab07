SELECT
    l.id,
    l.workspace_id,
    l.campaign_id,
    l.creator_id,
    l.supporter_id,
    l.destination_url,
    l.fallback_url,
    (extract(epoch FROM l.expires_at) * 1000)::bigint AS expires_at_ms,
    l.click_limit,
    l.pass_query,
    l.rules,
    l.variants,
    l.leaves_exhausted AND b.exhausted_at IS NOT NULL AS is_exhausted,
    w.address_policy,
    w.honour_opt_out,
    w.cookie_days
FROM tracking_links l
JOIN workspaces w ON w.id = l.workspace_id
LEFT JOIN campaign_budgets b ON b.campaign_id = l.campaign_id
WHERE l.code = $1
