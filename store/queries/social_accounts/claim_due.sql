-- Takes accounts that are due, the longest waiting first. Who was cut off while
-- fetching leaves them to others after the lease.
WITH due AS (
    SELECT id
    FROM social_accounts
    WHERE deleted_at IS NULL AND next_attempt_at <= now()
    ORDER BY next_attempt_at, id
    LIMIT $1
    FOR UPDATE SKIP LOCKED
)
UPDATE social_accounts a
SET next_attempt_at = now() + $2::bigint * interval '1 millisecond'
FROM due
WHERE a.id = due.id
RETURNING a.id, a.platform, a.external_id, a.plan, a.sealed_token, a.failures,
    (extract(epoch FROM a.token_expires_at) * 1000)::bigint AS token_expires_at_ms
