-- Visitors and page views in buckets of time, of the whole workspace: hours before
-- counted_from_ms as they were rolled up, those after it as counted.
WITH
CAST(? AS Array(Int64)) AS starts_ms,
counted AS
(
    SELECT kind, at, event_id, visitor, toUnixTimestamp64Milli(at) AS ms,
        toInt64(roundDown(ms, starts_ms)) AS of_bucket_ms
    FROM events
    WHERE workspace_id = {workspace:UUID} AND kind IN ('click', 'page', 'track') AND bot = ''
        AND at >= fromUnixTimestamp64Milli({counted_from_ms:Int64}) AND at < fromUnixTimestamp64Milli({to_ms:Int64})
),
-- The bucket in which counting begins.
toInt64(roundDown({counted_from_ms:Int64}, starts_ms)) AS cut_ms,
-- Its whole days before that, as bits of the month that they begin in, and of the next.
toDate({part_day:UInt16}) AS part_begins,
toDate({part_day:UInt16} + {part_days:UInt16}) AS part_ends,
toStartOfMonth(part_begins) AS first_month,
addMonths(first_month, 1) AS second_month,
bitShiftLeft(toUInt64(1), toUInt8(least(part_ends - first_month, 32)))
    - bitShiftLeft(toUInt64(1), toUInt8(part_begins - first_month)) AS first_days,
bitShiftLeft(toUInt64(1), toUInt8(greatest(part_ends - second_month, 0))) - 1 AS second_days
SELECT bucket_ms, toUInt64(sum(f.visitors)) AS visitors, toUInt64(sum(f.page_views)) AS page_views
FROM
(
    SELECT
        toInt64(roundDown(toInt64(toUnixTimestamp(hour)) * 1000, starts_ms)) AS bucket_ms,
        toInt64(sumIf(h.visitors, toInt64(toUnixTimestamp(previous_hour)) * 1000 < greatest(bucket_ms, {from_ms:Int64}))) AS visitors,
        sum(h.page_views) AS page_views
    FROM hourly_visits AS h FINAL
    WHERE workspace_id = {workspace:UUID}
        AND hour >= toDateTime(intDiv({from_ms:Int64}, 1000), 'UTC') AND hour < toDateTime(intDiv({counted_from_ms:Int64}, 1000), 'UTC')
    GROUP BY bucket_ms
    UNION ALL
    SELECT of_bucket_ms, toInt64(uniqExact(visitor)), uniqExactIf((toStartOfHour(at), event_id), kind = 'page')
    FROM counted
    GROUP BY of_bucket_ms
    UNION ALL
    -- Less those whom the rolled-up part of that bucket has already: of whole days by the
    -- bits of visitor_months, of the rest by the events.
    SELECT cut_ms, -toInt64(uniqExact(visitor)), 0
    FROM
    (
        SELECT visitor
        FROM events
        WHERE workspace_id = {workspace:UUID} AND kind IN ('click', 'page', 'track') AND bot = ''
            AND at >= fromUnixTimestamp64Milli({part_from_ms:Int64})
            AND at < fromUnixTimestamp64Milli({counted_from_ms:Int64})
        UNION ALL
        SELECT visitor
        FROM visitor_months
        WHERE workspace_id = {workspace:UUID} AND {part_days:UInt16} > 0
            AND month IN (first_month, second_month)
            AND bitAnd(days, if(month = first_month, first_days, second_days)) != 0
    )
    WHERE visitor IN (SELECT visitor FROM counted WHERE of_bucket_ms = cut_ms)
) AS f
GROUP BY bucket_ms
ORDER BY bucket_ms
