-- From now on a workspace's hours are rolled up, those with something in them first.
WITH marked AS (
    INSERT INTO rollup_marks (workspace_id, source, hour_ms, due_at)
    SELECT $1, $2, h.hour_ms, rollup_due_at(h.hour_ms)
    FROM unnest($3::bigint[]) AS h (hour_ms)
    ORDER BY h.hour_ms
    ON CONFLICT (workspace_id, source, hour_ms) DO UPDATE SET mark = excluded.mark
)
INSERT INTO rollups (workspace_id, source, made_for)
VALUES ($1, $2, $4)
ON CONFLICT (workspace_id, source) DO UPDATE SET made_for = excluded.made_for
