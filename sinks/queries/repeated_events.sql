-- Events that stand more than once, merged or not, with the same payload; an
-- id that came with two payloads is two events, and settlement quarantines one.
SELECT event_id, count() AS copies
FROM events FINAL
GROUP BY event_id, payload_hash
HAVING copies > 1
LIMIT 20
