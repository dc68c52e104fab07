-- The same account of the same creator, where it was removed before.
SELECT id
FROM social_accounts
WHERE workspace_id = $1 AND creator_id = $2 AND platform = $3 AND external_id = $4 AND deleted_at IS NOT NULL
ORDER BY deleted_at DESC
LIMIT 1
