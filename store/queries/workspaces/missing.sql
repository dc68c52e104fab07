-- The first of these that is named and not the workspace's.
SELECT CASE
    WHEN $2 IS NOT NULL AND NOT EXISTS (SELECT FROM campaigns WHERE id = $2 AND workspace_id = $1)
        THEN 'campaign'
    WHEN $3 IS NOT NULL AND NOT EXISTS (SELECT FROM users WHERE id = $3 AND workspace_id = $1)
        THEN 'creator'
    WHEN $4 IS NOT NULL AND NOT EXISTS (
        SELECT FROM tracking_links l JOIN campaigns c ON c.id = l.campaign_id
        WHERE l.id = $4 AND c.workspace_id = $1)
        THEN 'link'
END
