-- The open range has been loaded; 0 if another loader closed it. The hours that it
-- changed are marked in the same statement: no roll-up can be taken for newer than it is.
WITH closed AS (
    UPDATE sink_positions
    SET next_offset = open_last_offset + 1, open_last_offset = NULL, open_workspaces = '{}', open_hours_ms = '{}'
    WHERE sink = $1 AND topic = $2 AND partition = $3 AND next_offset = $4 AND open_last_offset = $5
    RETURNING 1
),
marked AS (
    INSERT INTO rollup_marks (workspace_id, source, hour_ms, due_at)
    SELECT h.workspace_id, $1, h.hour_ms, rollup_due_at(h.hour_ms)
    FROM unnest($6::uuid[], $7::bigint[]) AS h (workspace_id, hour_ms)
    WHERE EXISTS (SELECT FROM closed)
    ORDER BY h.workspace_id, h.hour_ms
    ON CONFLICT (workspace_id, source, hour_ms) DO UPDATE
    SET mark = excluded.mark,
        due_at = CASE WHEN rollup_marks.due_at > now() THEN rollup_marks.due_at ELSE excluded.due_at END
)
SELECT count(*) FROM closed
