-- Kafka messages that were loaded twice: by the place they came from, whatever
-- the replacing engine has merged since.
SELECT any(event_id) AS event_id, count() AS copies
FROM events
GROUP BY partition, `offset`
HAVING copies > 1
LIMIT 20
