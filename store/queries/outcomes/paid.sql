SELECT o.event_id, o.leg
FROM unnest($1::uuid[], $2::smallint[]) AS asked (id, leg)
JOIN outcomes o ON o.event_id = asked.id AND o.leg = asked.leg
WHERE o.status = 'posted'
