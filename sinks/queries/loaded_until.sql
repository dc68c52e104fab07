-- When the newest event was taken that is loaded.
SELECT toUnixTimestamp64Milli(max(received_at))
FROM events
