-- Who had their events erased.
SELECT DISTINCT workspace_id, visitor
FROM events
WHERE kind = 'erase'
