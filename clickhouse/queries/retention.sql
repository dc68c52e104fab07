-- Of the people who were first seen in a bucket of time, how many were seen in it
-- and in each one after it. Whoever was seen before the first bucket is none of
-- them.
WITH
first_seen AS
(
    SELECT visitor, min(toUnixTimestamp64Milli(at)) AS first_ms
    FROM events
    WHERE workspace_id = {workspace:UUID} AND kind IN ('click', 'page', 'track') AND bot = ''
        AND at < fromUnixTimestamp64Milli({to_ms:Int64})
    GROUP BY visitor
    HAVING first_ms >= {from_ms:Int64}
),
seen AS
(
    SELECT visitor, toInt64(roundDown(toUnixTimestamp64Milli(at), CAST(? AS Array(Int64)))) AS bucket_ms
    FROM events
    WHERE workspace_id = {workspace:UUID} AND kind IN ('click', 'page', 'track') AND bot = ''
        AND at >= fromUnixTimestamp64Milli({from_ms:Int64}) AND at < fromUnixTimestamp64Milli({to_ms:Int64})
    GROUP BY visitor, bucket_ms
)
SELECT toInt64(roundDown(f.first_ms, CAST(? AS Array(Int64)))) AS cohort, s.bucket_ms AS bucket, count() AS visitors
FROM seen AS s
INNER JOIN first_seen AS f ON f.visitor = s.visitor
GROUP BY cohort, bucket
ORDER BY cohort, bucket
