-- Marked hours of a workspace within a time, and those that a range is about to change;
-- NULL if nothing of it is rolled up.
SELECT CASE
    WHEN EXISTS (SELECT FROM rollups r WHERE r.workspace_id = $1 AND r.source = $2)
        THEN ARRAY(
            SELECT m.hour_ms
            FROM rollup_marks m
            WHERE m.workspace_id = $1 AND m.source = $2 AND m.hour_ms >= $3 AND m.hour_ms < $4
            UNION
            SELECT h.hour_ms
            FROM sink_positions p
            CROSS JOIN unnest(p.open_workspaces, p.open_hours_ms) AS h (workspace_id, hour_ms)
            WHERE p.sink = $2 AND p.open_last_offset IS NOT NULL
                AND h.workspace_id = $1 AND h.hour_ms >= $3 AND h.hour_ms < $4
            ORDER BY hour_ms)
END
