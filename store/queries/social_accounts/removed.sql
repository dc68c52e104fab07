-- Accounts that were removed, and when, in milliseconds since 1970.
SELECT id, (extract(epoch FROM deleted_at) * 1000)::bigint
FROM social_accounts
WHERE workspace_id = $1 AND deleted_at IS NOT NULL
ORDER BY id
