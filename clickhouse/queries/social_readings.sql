-- What was read of social accounts before the end of a time: a row for each figure that
-- is known.
readings AS
(
    SELECT
        account_id,
        creator_id,
        platform,
        post_id,
        toUnixTimestamp64Milli(captured_at) AS at_ms,
        -- What has no such moment was published before all.
        ifNull(toUnixTimestamp64Milli(published_at), -1) AS published_ms,
        metric,
        toInt64(assumeNotNull(known)) AS value
    FROM social_metrics FINAL
    ARRAY JOIN
        ['followers', 'following', 'posts', 'views', 'impressions', 'reach', 'likes', 'comments', 'shares',
            'clicks', 'saves'] AS metric,
        [followers, following, posts, views, impressions, reach, likes, comments, shares, clicks, saves] AS known
    WHERE workspace_id = {workspace:UUID} AND captured_at < fromUnixTimestamp64Milli({to_ms:Int64})
        AND known IS NOT NULL
)
