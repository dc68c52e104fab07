-- Every outcome that is loaded, and how often.
SELECT event_id, leg, any(status) AS status, any(gross_minor) AS gross_minor, count() AS copies
FROM outcomes FINAL
GROUP BY event_id, leg
