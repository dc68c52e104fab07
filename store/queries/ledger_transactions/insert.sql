INSERT INTO ledger_transactions (id, batch_id, workspace_id, kind, source_id, leg, at)
SELECT id, $1, workspace_id, kind, source_id, leg, to_timestamp(at_ms / 1000.0)
FROM (
    SELECT unnest($2::uuid[]) AS id, unnest($3::uuid[]) AS workspace_id, unnest($4::text[]) AS kind,
        unnest($5::uuid[]) AS source_id, unnest($6::smallint[]) AS leg, unnest($7::bigint[]) AS at_ms
) new
