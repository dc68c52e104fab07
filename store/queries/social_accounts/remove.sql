-- The account stays for its history; its token does not.
UPDATE social_accounts
SET deleted_at = now(), sealed_token = NULL, token_expires_at = NULL, next_attempt_at = NULL, is_published = false
WHERE workspace_id = $1 AND id = $2 AND deleted_at IS NULL
