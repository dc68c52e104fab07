SELECT workspace_day(workspace_id, to_timestamp(at_ms / 1000.0))
FROM unnest($1::uuid[], $2::bigint[]) WITH ORDINALITY AS moments (workspace_id, at_ms, place)
ORDER BY place
