-- A refund that is resolved stays so; they are numbered in the order given.
INSERT INTO refunds (event_id, payload_hash, workspace_id, order_key, refund, campaign_id,
    resolved_at, resolution)
SELECT event_id, payload_hash, workspace_id, order_key, refund, campaign_id,
    CASE WHEN is_resolved THEN clock_timestamp() END,
    CASE WHEN is_resolved THEN nextval('refund_resolutions') END
FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::uuid[], $5::jsonb[], $6::uuid[], $7::boolean[])
    WITH ORDINALITY
    AS new (event_id, payload_hash, workspace_id, order_key, refund, campaign_id,
        is_resolved, place)
ORDER BY place
ON CONFLICT (event_id, payload_hash) DO UPDATE
SET campaign_id = excluded.campaign_id, resolved_at = excluded.resolved_at,
    resolution = excluded.resolution
WHERE refunds.resolved_at IS NULL AND excluded.resolved_at IS NOT NULL
