-- Those that are not removed, by creator; all, or of one creator, or one of them, or
-- only those that are due.
SELECT id, creator_id, platform, external_id, handle, plan, is_published,
    sealed_token IS NOT NULL AS has_token,
    (extract(epoch FROM token_expires_at) * 1000)::bigint AS token_expires_at_ms,
    (extract(epoch FROM captured_at) * 1000)::bigint AS captured_at_ms,
    figures,
    (extract(epoch FROM fetched_at) * 1000)::bigint AS fetched_at_ms,
    (extract(epoch FROM next_attempt_at) * 1000)::bigint AS next_attempt_at_ms,
    failures, error_code, error_message
FROM social_accounts
WHERE workspace_id = $1 AND deleted_at IS NULL
    AND ($2::uuid IS NULL OR creator_id = $2)
    AND ($3::uuid IS NULL OR id = $3)
    AND (NOT $4 OR next_attempt_at <= now())
ORDER BY creator_id, platform, external_id
