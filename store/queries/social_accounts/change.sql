-- What is not given stays. A new token, or none any more, is tried at once, and so is an
-- account that had none to be tried with; another plan counts from when the figures were
-- fetched.
UPDATE social_accounts
SET handle = coalesce($3, handle),
    plan = coalesce($4, plan),
    is_published = coalesce($5, is_published),
    sealed_token = CASE WHEN $6 THEN $7 ELSE sealed_token END,
    token_expires_at = CASE WHEN $6 THEN to_timestamp($8::bigint / 1000.0) ELSE token_expires_at END,
    failures = CASE WHEN $6 THEN 0 ELSE failures END,
    error_code = CASE WHEN $6 THEN NULL ELSE error_code END,
    error_message = CASE WHEN $6 THEN NULL ELSE error_message END,
    next_attempt_at = CASE
        WHEN NOT $9 THEN NULL
        WHEN $6 OR error_code = 'no_token' THEN now()
        -- After a failure, as the failure says.
        WHEN $4 IS NOT NULL AND failures = 0 AND fetched_at IS NOT NULL
            THEN fetched_at + $10::bigint * interval '1 millisecond'
        ELSE next_attempt_at
    END
WHERE workspace_id = $1 AND id = $2 AND deleted_at IS NULL
