-- Hours that may be rolled up by now.
SELECT workspace_id, source, hour_ms, mark
FROM rollup_marks
WHERE due_at <= now()
ORDER BY workspace_id, source, hour_ms
LIMIT $1
