INSERT INTO ledger_transactions (id, batch_id, workspace_id, kind, source_id, leg, at)
SELECT id, $1, workspace_id, kind, source_id, leg, to_timestamp(at_ms / 1000.0)
FROM unnest($2::uuid[], $3::uuid[], $4::text[], $5::uuid[], $6::smallint[], $7::bigint[])
    AS new (id, workspace_id, kind, source_id, leg, at_ms)
