-- Says which range is about to be loaded, and the hours that it may change; no row if
-- another loader moved on.
UPDATE sink_positions
SET open_last_offset = $5, open_workspaces = $6, open_hours_ms = $7
WHERE sink = $1 AND topic = $2 AND partition = $3 AND next_offset = $4
    AND (open_last_offset IS NULL OR open_last_offset = $5)
