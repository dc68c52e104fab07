-- The newest that the asking user may see.
SELECT event_id, leg, kind, status, reason, campaign_id, creator_id,
    (extract(epoch FROM at) * 1000)::bigint AS at_ms, gross_minor, creator_minor, fee_minor,
    currency::text AS currency, refund_id
FROM outcomes
WHERE workspace_id = $1
ORDER BY batch_id DESC, event_id, leg
LIMIT $2
