-- Of the people who were first seen in a bucket of days, how many were seen in it and
-- in each one after it: as retention.sql, out of visitor_months and what came in since.
-- Days are counted from 1970, as dates are.
WITH
CAST(? AS Array(UInt16)) AS first_days,
CAST(CAST(? AS Array(Int64)) AS Array(DateTime('UTC'))) AS asked_hours,
toUInt16({last_day:UInt16}) AS last_day,
-- Of hours that are not rolled up, and of the last day, which may have begun only.
counted AS
(
    SELECT DISTINCT visitor, toUInt16(toDate(at, {time_zone:String})) AS day
    FROM events
    WHERE workspace_id = {workspace:UUID} AND kind IN ('click', 'page', 'track') AND bot = ''
        AND at < fromUnixTimestamp64Milli({to_ms:Int64})
        AND (toStartOfHour(at) IN asked_hours OR at >= fromUnixTimestamp64Milli({last_day_ms:Int64}))
),
first_seen AS
(
    SELECT visitor, min(first_day) AS day
    FROM
    (
        -- The lowest bit is the first day.
        SELECT visitor, toUInt16(toUInt16(month) + bitCount(bitAnd(bitNot(days), days - 1))) AS first_day
        FROM visitor_months
        WHERE workspace_id = {workspace:UUID} AND month <= toDate(last_day) AND first_day < last_day
        UNION ALL
        SELECT visitor, day FROM counted
    )
    GROUP BY visitor
    HAVING day >= first_days[1]
),
seen AS
(
    SELECT DISTINCT visitor, day
    FROM
    (
        SELECT visitor, toUInt16(toUInt16(month) + arrayJoin(bitPositionsToArray(days))) AS day
        FROM visitor_months
        WHERE workspace_id = {workspace:UUID} AND month >= toStartOfMonth(toDate(first_days[1])) AND month <= toDate(last_day)
            AND visitor IN (SELECT visitor FROM first_seen) AND day < last_day
        UNION ALL
        SELECT visitor, day FROM counted
    )
)
SELECT
    toInt64(roundDown(f.day, first_days)) AS cohort,
    toInt64(roundDown(s.day, first_days)) AS bucket,
    uniqExact(s.visitor) AS visitors
FROM seen AS s
INNER JOIN first_seen AS f ON f.visitor = s.visitor
GROUP BY cohort, bucket
ORDER BY cohort, bucket
