-- Which of these events are loaded.
SELECT DISTINCT event_id
FROM events
WHERE toString(event_id) IN ?
