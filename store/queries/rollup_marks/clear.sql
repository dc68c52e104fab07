-- Takes marks away that nobody renewed; in the order in which they are set.
WITH taken AS (
    SELECT m.workspace_id, m.source, m.hour_ms
    FROM rollup_marks m
    JOIN unnest($1::uuid[], $2::text[], $3::bigint[], $4::bigint[]) AS t (workspace_id, source, hour_ms, mark)
        ON m.workspace_id = t.workspace_id AND m.source = t.source AND m.hour_ms = t.hour_ms AND m.mark = t.mark
    ORDER BY m.workspace_id, m.source, m.hour_ms
    FOR UPDATE OF m
)
DELETE FROM rollup_marks m
USING taken t
WHERE m.workspace_id = t.workspace_id AND m.source = t.source AND m.hour_ms = t.hour_ms
