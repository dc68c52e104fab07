-- Clicks by hour and link. Rows of links that are no more in an hour become 0.
SELECT
    {workspace:UUID} AS workspace_id,
    hour,
    creator_id,
    campaign_id,
    link_id,
    sum(c.clicks) AS clicks,
    sum(c.unique_clicks) AS unique_clicks,
    sum(c.bot_clicks) AS bot_clicks,
    {version:UInt64} AS version
FROM
(
    SELECT
        toDateTime(intDiv(ms, 3600000) * 3600, 'UTC') AS hour,
        creator_id,
        campaign_id,
        link_id,
        countIf(NOT is_bot) AS clicks,
        countIf(is_unique) AS unique_clicks,
        countIf(is_bot) AS bot_clicks
    FROM counted_clicks
    GROUP BY hour, creator_id, campaign_id, link_id
    UNION ALL
    SELECT hour, creator_id, campaign_id, link_id, 0, 0, 0
    FROM hourly_clicks
    WHERE workspace_id = {workspace:UUID} AND hour IN asked_hours
) AS c
GROUP BY hour, creator_id, campaign_id, link_id
