-- Who had their events erased, and those up to when.
SELECT workspace_id, visitor, toUnixTimestamp64Milli(max(received_at)) AS until_ms
FROM events
WHERE kind = 'erase'
GROUP BY workspace_id, visitor
