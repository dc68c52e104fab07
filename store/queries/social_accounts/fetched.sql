-- Says what a fetch came to. A token that was changed meanwhile is tried on its own
-- account: what the old one came to says nothing about it.
UPDATE social_accounts
SET fetched_at = CASE WHEN $3::text IS NULL THEN to_timestamp($2::bigint / 1000.0) ELSE fetched_at END,
    next_attempt_at = to_timestamp($5::bigint / 1000.0),
    failures = CASE WHEN $3::text IS NULL THEN 0 ELSE failures + 1 END,
    error_code = $3,
    error_message = $4
WHERE id = $1 AND deleted_at IS NULL AND sealed_token IS NOT DISTINCT FROM $6
