-- When visitors did any event of some kinds, as it is kept: a visitor's rows follow each
-- other. What is said twice, in two rows or from the events besides, is the same act. Of
-- visitors whose keys begin with some bytes; the columns' types are relied on.
SELECT
    visitor,
    toInt64(toUInt16(month)) * 86400000 AS month_ms,
    CAST(if({clicks:Bool}, clicks, []) AS Array(UInt32)) AS clicks,
    CAST(if({pages:Bool}, pages, []) AS Array(UInt32)) AS pages,
    CAST(if({tracks:Bool}, tracks, []) AS Array(UInt32)) AS tracks
FROM visitor_acts
WHERE workspace_id = {workspace:UUID}
    AND month >= toStartOfMonth(toDate(fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')))
    AND month <= toDate(fromUnixTimestamp64Milli({until_ms:Int64}, 'UTC'))
    AND visitor >= toFixedString(char({first_byte:UInt8}), 16)
    AND visitor <= toFixedString(concat(char({last_byte:UInt8}), repeat('\xFF', 15)), 16)
ORDER BY visitor
