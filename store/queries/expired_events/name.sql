-- From now on what was before this moment is gone; it moves forward only.
INSERT INTO expired_events (workspace_id, before_ms)
VALUES ($1, $2)
ON CONFLICT (workspace_id) DO UPDATE
SET before_ms = excluded.before_ms, named_at = now()
WHERE expired_events.before_ms < excluded.before_ms
