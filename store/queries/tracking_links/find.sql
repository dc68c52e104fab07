SELECT
    id,
    workspace_id,
    campaign_id,
    creator_id,
    supporter_id,
    destination_url,
    fallback_url,
    (extract(epoch FROM expires_at) * 1000)::bigint AS expires_at_ms
FROM tracking_links
WHERE code = $1
