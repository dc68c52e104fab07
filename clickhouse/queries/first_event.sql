-- When the first event before a moment happened; just before it, if none did.
SELECT if(count() = 0, {to_ms:Int64} - 1, min(toUnixTimestamp64Milli(at)))
FROM events
WHERE workspace_id = {workspace:UUID} AND at < fromUnixTimestamp64Milli({to_ms:Int64})
