-- Visitors by hour and by the hour in which they were seen before; page views. Rows of
-- hours in which nobody was seen before any more become 0.
WITH
hours_of_visitors AS
(
    SELECT arraySort(groupUniqArray(toStartOfHour(at))) AS hours
    FROM events
    WHERE workspace_id = {workspace:UUID} AND kind IN ('click', 'page', 'track') AND bot = ''
        AND at >= fromUnixTimestamp64Milli(greatest({from_ms:Int64} - 32 * 86400000, 0)) AND at < fromUnixTimestamp64Milli({to_ms:Int64})
        AND visitor IN
        (
            SELECT visitor
            FROM events
            WHERE workspace_id = {workspace:UUID} AND kind IN ('click', 'page', 'track') AND bot = ''
                AND at >= fromUnixTimestamp64Milli({from_ms:Int64}) AND at < fromUnixTimestamp64Milli({to_ms:Int64})
        )
    GROUP BY visitor
)
SELECT
    {workspace:UUID} AS workspace_id,
    hour,
    previous_hour,
    sum(v.visitors) AS visitors,
    sum(v.page_views) AS page_views,
    {version:UInt64} AS version
FROM
(
    SELECT
        seen_hour AS hour,
        if(number = 1, toDateTime(0, 'UTC'), hours[number - 1]) AS previous_hour,
        count() AS visitors,
        0 AS page_views
    FROM hours_of_visitors
    ARRAY JOIN hours AS seen_hour, arrayEnumerate(hours) AS number
    WHERE seen_hour >= toDateTime(intDiv({from_ms:Int64}, 1000), 'UTC')
    GROUP BY hour, previous_hour
    UNION ALL
    SELECT toStartOfHour(at), toDateTime(0, 'UTC'), 0, uniqExact(event_id)
    FROM events
    WHERE workspace_id = {workspace:UUID} AND kind = 'page' AND bot = ''
        AND at >= fromUnixTimestamp64Milli({from_ms:Int64}) AND at < fromUnixTimestamp64Milli({to_ms:Int64})
    GROUP BY toStartOfHour(at)
    UNION ALL
    SELECT hour, previous_hour, 0, 0
    FROM hourly_visits
    WHERE workspace_id = {workspace:UUID}
        AND hour >= toDateTime(intDiv({from_ms:Int64}, 1000), 'UTC') AND hour < toDateTime(intDiv({to_ms:Int64}, 1000), 'UTC')
) AS v
GROUP BY hour, previous_hour
