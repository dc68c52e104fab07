-- What was before this moment is deleted.
UPDATE expired_events
SET deleted_before_ms = greatest(deleted_before_ms, $2)
WHERE workspace_id = $1 AND before_ms >= $2
