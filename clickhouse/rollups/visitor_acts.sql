-- What visitors did in some hours, and when.
WITH CAST(CAST(? AS Array(Int64)) AS Array(DateTime('UTC'))) AS asked_hours
SELECT
    {workspace:UUID} AS workspace_id,
    visitor,
    month,
    arraySort(groupUniqArrayIf(ms, kind = 'click')) AS clicks,
    arraySort(groupUniqArrayIf(ms, kind = 'page')) AS pages,
    arraySort(groupUniqArrayIf(ms, kind = 'track')) AS tracks
FROM
(
    SELECT
        visitor,
        kind,
        toStartOfMonth(toDate(at, 'UTC')) AS month,
        toUInt32(toUnixTimestamp64Milli(at) - toInt64(toUInt16(month)) * 86400000) AS ms
    FROM events
    WHERE workspace_id = {workspace:UUID} AND kind IN ('click', 'page', 'track') AND bot = ''
        AND at >= fromUnixTimestamp64Milli({from_ms:Int64}) AND at < fromUnixTimestamp64Milli({to_ms:Int64})
        AND toStartOfHour(at) IN asked_hours
)
GROUP BY visitor, month
