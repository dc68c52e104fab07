-- What is already settled of these ids: outcomes, fundings and closings.
WITH asked AS (
    SELECT id, leg FROM unnest($1::uuid[], $2::smallint[]) AS asked (id, leg)
)
SELECT o.event_id AS id, o.leg, o.payload_hash
FROM asked JOIN outcomes o ON o.event_id = asked.id AND o.leg = asked.leg
UNION ALL
SELECT f.id, 0::smallint, f.payload_hash
FROM asked JOIN fundings f ON f.id = asked.id AND asked.leg = 0
UNION ALL
SELECT c.id, 0::smallint, c.payload_hash
FROM asked JOIN closings c ON c.id = asked.id AND asked.leg = 0
