-- Marked hours of a workspace within a time, and those that a range is about to change;
-- NULL if nothing of it is rolled up. What came for hours that cannot be counted any more, since
-- the events of $5 milliseconds before them have expired, changes nothing; and where roll-ups begin anew, these hours stand as they were rolled up before.
WITH kept AS (
    SELECT coalesce((
        SELECT e.before_ms + $5 FROM expired_events e WHERE e.workspace_id = $1 AND $2 = 'events' AND e.before_ms > 0
    ), 0) AS since_ms
)
SELECT CASE
    WHEN EXISTS (SELECT FROM rollups r WHERE r.workspace_id = $1 AND r.source = $2 AND r.made_for >= $6)
        THEN ARRAY(
            SELECT m.hour_ms
            FROM rollup_marks m
            WHERE m.workspace_id = $1 AND m.source = $2 AND m.hour_ms >= greatest($3, kept.since_ms) AND m.hour_ms < $4
            UNION
            SELECT h.hour_ms
            FROM sink_positions p
            CROSS JOIN unnest(p.open_workspaces, p.open_hours_ms) AS h (workspace_id, hour_ms)
            WHERE p.sink = $2 AND p.open_last_offset IS NOT NULL
                AND h.workspace_id = $1 AND h.hour_ms >= greatest($3, kept.since_ms) AND h.hour_ms < $4
            ORDER BY hour_ms)
    WHEN kept.since_ms > 0
        THEN ARRAY(
            SELECT h.hour_ms
            FROM generate_series(
                greatest($3 - $3 % 3600000, kept.since_ms),
                least($4 - 1, (extract(epoch FROM now()) * 1000)::bigint + 86400000), 3600000) AS h (hour_ms))
END
FROM kept
