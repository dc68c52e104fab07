-- What became of actions from one moment to another, robots' left out, and
-- whether ClickHouse should have them: settled before the watermark.
SELECT o.event_id, o.workspace_id, o.campaign_id, o.reason, o.visitor,
    (extract(epoch FROM o.at) * 1000)::bigint AS at_ms,
    (o.at AT TIME ZONE 'UTC')::date::text AS day,
    b.created_at < to_timestamp($3 / 1000.0) AS is_due
FROM outcomes o
JOIN batches b ON b.id = o.batch_id
WHERE o.at >= to_timestamp($1 / 1000.0) AND o.at < to_timestamp($2 / 1000.0)
    AND o.kind <> 'refund' AND o.reason IS DISTINCT FROM 'bot'
ORDER BY o.event_id, o.leg
