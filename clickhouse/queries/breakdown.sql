-- Clicks, and what came of them, by something that is known of a click. What came
-- of clicks before the time asked for is not in it, nor what no click earned.
WITH clicks AS
(
    SELECT
        event_id AS click,
        any(visitor) AS by_visitor,
        any(link_id) AS by_link,
        any(bot) AS robot,
        min(toUnixTimestamp64Milli(at)) AS ms,
        any(multiIf(
            {by:String} = 'country', country,
            {by:String} = 'city', if(city = '', '', concat(country, '/', city)),
            {by:String} = 'device', device,
            {by:String} = 'os', os,
            {by:String} = 'browser', browser,
            {by:String} = 'referrer', domainWithoutWWW(referrer),
            {by:String} = 'variant', name,
            {by:String} = 'link', toString(link_id),
            {by:String} = 'campaign', toString(campaign_id),
            {by:String} = 'creator', toString(creator_id),
            startsWith({by:String}, 'utm_'), JSONExtractString(properties, substring({by:String}, 5)),
            '')) AS key
    FROM events
    WHERE workspace_id = {workspace:UUID} AND kind = 'click'
        -- What a click may repeat comes at most a day before it.
        AND at >= fromUnixTimestamp64Milli(greatest({from_ms:Int64} - 86400000, 0))
        AND at < fromUnixTimestamp64Milli({to_ms:Int64})
        AND ({campaign:UUID} = {none:UUID} OR campaign_id = {campaign:UUID})
        AND ({creator:UUID} = {none:UUID} OR creator_id = {creator:UUID})
        AND ({link:UUID} = {none:UUID} OR link_id = {link:UUID})
    GROUP BY event_id
),
told_apart AS
(
    SELECT *, robot = '' AND ms - lagInFrame(ms, 1, toInt64(-86400001)) OVER (
        PARTITION BY by_link, by_visitor, robot = '' ORDER BY ms, click ROWS BETWEEN 1 PRECEDING AND CURRENT ROW
    ) > 86400000 AS is_unique
    FROM clicks
),
earned AS
(
    SELECT
        click_id AS click,
        groupUniqArrayIf(event_id, kind IN ('conversion', 'sale') AND status IN ('posted', 'rejected_budget'))
            AS converted,
        sumIf(value_minor, (kind = 'sale' AND status = 'posted' OR kind = 'refund' AND campaign_id != {none:UUID})
            AND value_currency = {currency:String}) AS revenue_minor,
        sumIf(creator_minor, currency = {currency:String}) AS earnings_minor
    FROM outcomes FINAL
    WHERE workspace_id = {workspace:UUID} AND click_id != {none:UUID} AND NOT is_reward
        AND at >= fromUnixTimestamp64Milli({from_ms:Int64})
    GROUP BY click_id
)
SELECT
    key,
    count() OVER () AS total,
    countIf(robot = '') AS clicks,
    countIf(is_unique) AS unique_clicks,
    countIf(robot != '') AS bot_clicks,
    uniqExactArray(e.converted) AS conversions,
    toInt64(sum(e.revenue_minor)) AS revenue_minor,
    toInt64(sum(e.earnings_minor)) AS earnings_minor
FROM told_apart AS c
LEFT JOIN earned AS e ON e.click = c.click
WHERE c.ms >= {from_ms:Int64}
GROUP BY key
ORDER BY clicks DESC, key
LIMIT {limit:UInt32} OFFSET {offset:UInt32}
