SELECT
    workspace_id,
    code,
    campaign_id,
    creator_id,
    (extract(epoch FROM valid_from) * 1000)::bigint AS valid_from_ms
FROM coupons
WHERE workspace_id = $1
ORDER BY code, valid_from
