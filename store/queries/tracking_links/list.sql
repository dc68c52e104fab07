SELECT
    id,
    campaign_id,
    creator_id,
    supporter_id,
    code,
    destination_url,
    fallback_url,
    (extract(epoch FROM expires_at) * 1000)::bigint AS expires_at_ms,
    click_limit,
    pass_query,
    rules,
    variants,
    leaves_exhausted
FROM tracking_links
WHERE workspace_id = $1
ORDER BY code
