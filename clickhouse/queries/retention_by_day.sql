-- Of the people who were first seen in a bucket of days, how many were seen in it and
-- in each one after it: as retention.sql, out of visitor_months and what came in since.
-- Days are counted from 1970, as dates are. The buckets in which somebody was seen are
-- bits, too, at most 128 in two words, so that a visitor costs no list.
WITH
CAST(? AS Array(UInt16)) AS first_days,
CAST(CAST(? AS Array(Int64)) AS Array(DateTime('UTC'))) AS asked_hours,
toUInt16({last_day:UInt16}) AS last_day,
-- Which days of a month are in which bucket. If each day is one, the month's bits only
-- have to be shifted.
months AS
(
    SELECT
        month,
        groupBitOr(mask) AS asked_days,
        toInt32(toUInt16(month)) - first_days[1] AS shift,
        if({by_day:Bool}, [], groupArray(mask)) AS masks,
        if({by_day:Bool}, [], groupArray(number)) AS numbers
    FROM
    (
        SELECT
            toStartOfMonth(toDate(day)) AS month,
            toUInt8(indexOf(first_days, roundDown(day, first_days)) - 1) AS number,
            groupBitOr(bitShiftLeft(toUInt32(1), toDayOfMonth(toDate(day)) - 1)) AS mask
        FROM (SELECT toUInt16(arrayJoin(range(first_days[1], last_day))) AS day)
        GROUP BY month, number
    )
    GROUP BY month
),
-- Of hours that are not rolled up, and of the last day, which may have begun only.
counted AS
(
    SELECT DISTINCT visitor, toUInt16(toDate(at, {time_zone:String})) AS day
    FROM events
    WHERE workspace_id = {workspace:UUID} AND kind IN ('click', 'page', 'track') AND bot = ''
        AND at < fromUnixTimestamp64Milli({to_ms:Int64})
        AND (toStartOfHour(at) IN asked_hours
            -- A midnight may come twice.
            OR at >= fromUnixTimestamp64Milli({last_day_ms:Int64} - 7200000) AND toUInt16(toDate(at, {time_zone:String})) >= last_day)
),
seen AS
(
    SELECT
        visitor,
        -- The lowest bit is the first day.
        toUInt16(toUInt16(v.month) + bitCount(bitAnd(bitNot(days), days - 1))) AS first_day,
        toUInt64(bitAnd(days, asked_days)) AS bits,
        if({by_day:Bool},
            multiIf(
                shift > 63, 0,
                shift < 0, bitShiftRight(bits, toUInt8(bitAnd(-shift, 63))),
                bitShiftLeft(bits, toUInt8(bitAnd(shift, 63)))),
            arraySum(arrayMap(
                (mask, number) -> if(bitAnd(days, mask) = 0 OR number > 63, 0, bitShiftLeft(toUInt64(1), bitAnd(number, 63))),
                masks, numbers))) AS low,
        if({by_day:Bool},
            multiIf(
                shift < 33, 0,
                shift < 64, bitShiftRight(bits, toUInt8(bitAnd(64 - shift, 63))),
                bitShiftLeft(bits, toUInt8(bitAnd(shift - 64, 63)))),
            arraySum(arrayMap(
                (mask, number) -> if(bitAnd(days, mask) = 0 OR number < 64, 0, bitShiftLeft(toUInt64(1), bitAnd(number, 63))),
                masks, numbers))) AS high
    FROM visitor_months AS v
    LEFT JOIN months AS m ON m.month = v.month
    WHERE workspace_id = {workspace:UUID} AND v.month <= toDate(last_day) AND first_day < last_day
    UNION ALL
    SELECT
        visitor,
        day,
        0,
        if(number BETWEEN 1 AND 64, bitShiftLeft(toUInt64(1), toUInt8(bitAnd(number - 1, 63))), 0),
        if(number > 64, bitShiftLeft(toUInt64(1), toUInt8(bitAnd(number - 65, 63))), 0)
    FROM (SELECT visitor, day, if(day < first_days[1], 0, indexOf(first_days, roundDown(day, first_days))) AS number FROM counted)
),
visitors_seen AS
(
    SELECT min(first_day) AS day, groupBitOr(s.low) AS low, groupBitOr(s.high) AS high
    FROM seen AS s
    GROUP BY visitor
    HAVING day >= first_days[1]
)
SELECT toInt64(roundDown(day, first_days)) AS cohort, toInt64(first_days[number + 1]) AS bucket, count() AS visitors
FROM visitors_seen
ARRAY JOIN arrayConcat(bitPositionsToArray(low), arrayMap(position -> position + 64, bitPositionsToArray(high))) AS number
GROUP BY cohort, number
ORDER BY cohort, number
