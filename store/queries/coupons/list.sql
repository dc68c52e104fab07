SELECT
    workspace_id,
    code,
    campaign_id,
    creator_id,
    (extract(epoch FROM valid_from) * 1000)::bigint AS valid_from_ms
FROM coupons
WHERE $1::uuid IS NULL OR workspace_id = $1
ORDER BY workspace_id, code, valid_from
