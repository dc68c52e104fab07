-- When visitors did any event of some kinds, as it is kept: a visitor's rows follow each
-- other. What is said twice, in two rows or from the events besides, is the same act.
SELECT
    visitor,
    toInt64(toUInt16(month)) * 86400000 AS month_ms,
    if({clicks:Bool}, clicks, []) AS clicks,
    if({pages:Bool}, pages, []) AS pages,
    if({tracks:Bool}, tracks, []) AS tracks
FROM visitor_acts
WHERE workspace_id = {workspace:UUID}
    AND month >= toStartOfMonth(toDate(fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')))
    AND month <= toDate(fromUnixTimestamp64Milli({until_ms:Int64}, 'UTC'))
ORDER BY visitor
