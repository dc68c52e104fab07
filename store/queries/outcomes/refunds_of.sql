SELECT event_id, leg, refund_id, (extract(epoch FROM at) * 1000)::bigint AS at_ms, gross_minor,
    creator_minor, fee_minor
FROM outcomes
WHERE original_event_id = $1 AND original_leg = $2
ORDER BY at, event_id, leg
