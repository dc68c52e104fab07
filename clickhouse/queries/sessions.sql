-- Sessions of people within a time: what a visitor did until nothing came for more
-- than half an hour. Events beyond the time asked for are not looked at.
WITH
acts AS
(
    -- One that came twice happened when it was first said to have.
    SELECT
        visitor,
        UUIDToNum(event_id) AS id,
        min(toUnixTimestamp64Milli(at)) AS ms,
        any(kind) = 'page' AS is_page,
        any(cutQueryStringAndFragment(url)) AS page,
        any(country) AS from_country,
        any(device) AS with_device
    FROM events
    WHERE workspace_id = {workspace:UUID} AND kind IN ('click', 'page', 'track') AND bot = ''
        AND at >= fromUnixTimestamp64Milli({from_ms:Int64}) AND at < fromUnixTimestamp64Milli({to_ms:Int64})
    GROUP BY visitor, event_id
),
begun AS
(
    SELECT *, ms - lagInFrame(ms, 1, 0) OVER (PARTITION BY visitor ORDER BY ms, id
        ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) > {gap_ms:Int64} AS is_first
    FROM acts
),
numbered AS
(
    SELECT *, sum(is_first) OVER (PARTITION BY visitor ORDER BY ms, id
        ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS number
    FROM begun
),
visits AS
(
    SELECT
        visitor AS by_visitor,
        max(ms) - min(ms) AS duration_ms,
        count() AS actions,
        countIf(is_page) AS page_views,
        argMinIf(page, (ms, id), is_page) AS entry,
        argMaxIf(page, (ms, id), is_page) AS exit,
        argMin(from_country, (ms, id)) AS country,
        argMin(with_device, (ms, id)) AS device
    FROM numbered
    GROUP BY visitor, number
)
SELECT
    multiIf({by:String} = 'entry', entry, {by:String} = 'exit', exit, {by:String} = 'country', country,
        {by:String} = 'device', device, '') AS key,
    count() OVER () AS total,
    count() AS sessions,
    uniqExact(by_visitor) AS visitors,
    countIf(actions = 1) AS bounces,
    toUInt64(sum(v.page_views)) AS page_views,
    toInt64(sum(v.duration_ms)) AS duration_ms
FROM visits AS v
GROUP BY key
ORDER BY sessions DESC, key
LIMIT {limit:UInt32} OFFSET {offset:UInt32}
