INSERT INTO tracking_links
    (id, workspace_id, campaign_id, creator_id, code, destination_url, fallback_url, expires_at,
     click_limit, pass_query, rules, variants, supporter_id,
     leaves_exhausted)
SELECT $1, c.workspace_id, c.id, m.creator_id, $5, $6, $7, to_timestamp($8::bigint / 1000.0), $9, $10, $11, $12, $13, $14
-- Only a creator who has accepted gets links.
FROM campaigns c
JOIN campaign_creators m ON m.campaign_id = c.id AND m.status = 'accepted'
WHERE c.workspace_id = $2 AND c.id = $3 AND m.creator_id = $4
