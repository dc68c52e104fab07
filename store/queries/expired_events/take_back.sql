-- What was named as gone, and is to be kept after all, as long as its deletion is at least an
-- hour away.
UPDATE expired_events
SET before_ms = greatest(deleted_before_ms, kept.since_ms)
FROM (
    SELECT coalesce((extract(epoch FROM now())::bigint / 86400 - $2::integer) * 86400000, 0) AS since_ms
) AS kept
WHERE workspace_id = $1 AND greatest(deleted_before_ms, kept.since_ms) < before_ms
    AND named_at > now() - interval '23 hours'
