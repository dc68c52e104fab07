-- For a creator of the workspace; nothing is inserted for anybody else. One that was
-- removed is the same again, with its past.
INSERT INTO social_accounts (id, workspace_id, creator_id, platform, external_id, handle, plan, is_published,
    sealed_token, token_expires_at, next_attempt_at)
SELECT $1, u.workspace_id, c.user_id, $4, $5, $6, $7, $8, $9, to_timestamp($10::bigint / 1000.0),
    to_timestamp($11::bigint / 1000.0)
FROM creator_profiles c
JOIN users u ON u.id = c.user_id
WHERE u.workspace_id = $2 AND c.user_id = $3
ON CONFLICT (id) DO UPDATE
SET deleted_at = NULL, handle = excluded.handle, plan = excluded.plan, is_published = excluded.is_published,
    sealed_token = excluded.sealed_token, token_expires_at = excluded.token_expires_at,
    next_attempt_at = excluded.next_attempt_at, failures = 0, error_code = NULL, error_message = NULL
WHERE social_accounts.deleted_at IS NOT NULL
