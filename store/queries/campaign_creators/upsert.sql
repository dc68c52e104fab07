-- Invites a creator of the same workspace, or accepts for them.
INSERT INTO campaign_creators (campaign_id, creator_id, status, accepted_at)
SELECT c.id, u.id, $3, CASE WHEN $3 = 'accepted' THEN now() END
FROM campaigns c
JOIN users u ON u.workspace_id = c.workspace_id
JOIN creator_profiles p ON p.user_id = u.id
WHERE c.id = $1 AND u.id = $2
ON CONFLICT (campaign_id, creator_id) DO UPDATE
SET status = excluded.status,
    accepted_at = coalesce(campaign_creators.accepted_at, excluded.accepted_at)
