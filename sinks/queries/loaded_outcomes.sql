-- Every outcome that is loaded, or those of some batches, and how often.
SELECT event_id, leg, any(status) AS status, any(gross_minor) AS gross_minor, count() AS copies
FROM outcomes FINAL
WHERE {is_full:Bool} OR batch_id IN {batches:Array(Int64)}
GROUP BY event_id, leg
