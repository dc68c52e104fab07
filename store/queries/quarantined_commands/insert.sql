INSERT INTO quarantined_commands (id, leg, payload_hash, batch_id, workspace_id, reason, command)
SELECT id, leg, payload_hash, $1, workspace_id, reason, command
FROM unnest($2::uuid[], $3::smallint[], $4::text[], $5::uuid[], $6::text[], $7::jsonb[])
    AS new (id, leg, payload_hash, workspace_id, reason, command)
ON CONFLICT (id, leg, payload_hash, reason) DO NOTHING
