-- Marks hours before something is taken out of them, and for long enough that it is out
-- when they are rolled up.
INSERT INTO rollup_marks (workspace_id, source, hour_ms, due_at)
SELECT h.workspace_id, 'events', h.hour_ms, greatest(now() + interval '10 minutes', rollup_due_at(h.hour_ms))
FROM unnest($1::uuid[], $2::bigint[]) AS h (workspace_id, hour_ms)
ORDER BY h.workspace_id, h.hour_ms
ON CONFLICT (workspace_id, source, hour_ms) DO UPDATE
SET mark = excluded.mark, due_at = greatest(rollup_marks.due_at, excluded.due_at)
