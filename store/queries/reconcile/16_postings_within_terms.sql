-- Nothing was posted while the campaign was not active, before its start or
-- after its end, by the terms in force at the event's own time.
SELECT o.event_id::text AS id,
    format('posted at %s under terms %s: %s, %s to %s', o.at, t.version, t.status, t.starts_at,
        t.ends_at) AS detail
FROM outcomes o
CROSS JOIN LATERAL (
    SELECT *
    FROM campaign_terms t
    WHERE t.campaign_id = o.campaign_id AND (t.valid_from <= o.at OR t.version = 1)
    ORDER BY t.version DESC
    LIMIT 1
) t
WHERE :batch(o.batch_id) AND o.status = 'posted' AND o.kind <> 'refund'
    AND (t.status <> 'active' OR o.at < t.starts_at OR o.at >= t.ends_at)
