-- The days on which visitors were seen in some hours.
WITH CAST(CAST(? AS Array(Int64)) AS Array(DateTime('UTC'))) AS asked_hours
SELECT
    {workspace:UUID} AS workspace_id,
    visitor,
    toStartOfMonth(day) AS month,
    groupBitOr(bitShiftLeft(toUInt32(1), toDayOfMonth(day) - 1)) AS days
FROM
(
    SELECT DISTINCT visitor, toDate(at, {time_zone:String}) AS day
    FROM events
    WHERE workspace_id = {workspace:UUID} AND kind IN ('click', 'page', 'track') AND bot = ''
        AND at >= fromUnixTimestamp64Milli({from_ms:Int64}) AND at < fromUnixTimestamp64Milli({to_ms:Int64})
        AND toStartOfHour(at) IN asked_hours
)
GROUP BY visitor, month
