-- Takes marks away that nobody renewed.
DELETE FROM rollup_marks m
USING unnest($1::uuid[], $2::text[], $3::bigint[], $4::bigint[]) AS t (workspace_id, source, hour_ms, mark)
WHERE m.workspace_id = t.workspace_id AND m.source = t.source AND m.hour_ms = t.hour_ms AND m.mark = t.mark
