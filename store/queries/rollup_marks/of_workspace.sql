-- Marked hours of a workspace within a time; NULL if nothing of it is rolled up.
SELECT CASE
    WHEN EXISTS (SELECT FROM rollups r WHERE r.workspace_id = $1 AND r.source = $2)
        THEN ARRAY(
            SELECT m.hour_ms
            FROM rollup_marks m
            WHERE m.workspace_id = $1 AND m.source = $2 AND m.hour_ms >= $3 AND m.hour_ms < $4
            ORDER BY m.hour_ms)
END
