-- What an account, or all of a creator's, had at some moments: each figure as it was
-- last known before. The moments, in milliseconds, are bound first.
WITH
    readings AS
    (
        SELECT
            account_id,
            metric,
            toUnixTimestamp64Milli(captured_at) AS at_ms,
            toInt64(assumeNotNull(known)) AS value
        FROM social_metrics FINAL
        ARRAY JOIN
            ['followers', 'following', 'posts', 'views', 'impressions', 'reach', 'likes', 'comments', 'shares',
                'clicks', 'saves'] AS metric,
            [followers, following, posts, views, impressions, reach, likes, comments, shares, clicks, saves] AS known
        WHERE workspace_id = {workspace:UUID} AND post_id = {post:String}
            AND ({all_accounts:Bool} OR account_id = {account:UUID})
            AND ({all_creators:Bool} OR creator_id = {creator:UUID})
            AND captured_at < fromUnixTimestamp64Milli({to_ms:Int64})
            AND known IS NOT NULL
    ),
    moments AS
    (
        SELECT moment_ms, account_id, metric
        FROM (SELECT arrayJoin(CAST(? AS Array(Int64))) AS moment_ms) AS m
        CROSS JOIN (SELECT DISTINCT account_id, metric FROM readings) AS s
    )
SELECT moment_ms, metric, toInt64(sum(r.value)) AS had
FROM moments AS m
ASOF INNER JOIN readings AS r ON m.account_id = r.account_id AND m.metric = r.metric AND m.moment_ms > r.at_ms
GROUP BY moment_ms, metric
ORDER BY moment_ms, metric
