-- In force from a moment that no processor can have passed yet ($5,
-- milliseconds ahead), and never before an earlier one of the same code.
INSERT INTO coupons (workspace_id, code, valid_from, campaign_id, creator_id)
SELECT
    $1,
    $2,
    greatest(
        date_trunc('milliseconds', clock_timestamp()) + $5 * interval '1 millisecond',
        (SELECT max(valid_from) + interval '1 millisecond'
         FROM coupons
         WHERE workspace_id = $1 AND code = $2)),
    cc.campaign_id,
    cc.creator_id
FROM campaign_creators cc
JOIN campaigns c ON c.id = cc.campaign_id
WHERE cc.campaign_id = $3 AND cc.creator_id = $4 AND c.workspace_id = $1
RETURNING (extract(epoch FROM valid_from) * 1000)::bigint
