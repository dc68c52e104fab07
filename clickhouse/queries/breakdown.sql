-- Clicks, and what came of them, by something that is known of a click. What came
-- of clicks before the time asked for is not in it, nor what no click earned.
WITH
clicks AS
(
    SELECT
        event_id AS click,
        visitor AS by_visitor,
        bot AS robot,
        multiIf(
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
            '') AS key
    -- A click that was loaded twice is one.
    FROM events FINAL
    WHERE workspace_id = {workspace:UUID} AND kind = 'click'
        AND at >= fromUnixTimestamp64Milli({from_ms:Int64}) AND at < fromUnixTimestamp64Milli({to_ms:Int64})
        AND ({campaign:UUID} = {none:UUID} OR campaign_id = {campaign:UUID})
        AND ({creator:UUID} = {none:UUID} OR creator_id = {creator:UUID})
        AND ({link:UUID} = {none:UUID} OR link_id = {link:UUID})
),
earned AS
(
    SELECT
        click_id AS click,
        groupUniqArrayIf(event_id, kind IN ('conversion', 'sale') AND status IN ('posted', 'rejected_budget'))
            AS converted,
        sumIf(value_minor, (kind = 'sale' AND status = 'posted' OR kind = 'refund' AND campaign_id != {none:UUID})
            AND value_currency = {currency:String}) AS revenue,
        sumIf(creator_minor, currency = {currency:String}) AS earned_minor
    FROM outcomes FINAL
    WHERE workspace_id = {workspace:UUID} AND click_id != {none:UUID} AND NOT is_reward
        AND at >= fromUnixTimestamp64Milli({from_ms:Int64})
    GROUP BY click_id
)
SELECT
    key,
    count() OVER () AS total,
    toUInt64(sum(p.clicks)) AS clicks,
    toUInt64(sum(p.visitors)) AS visitors,
    toUInt64(sum(p.bot_clicks)) AS bot_clicks,
    uniqExactArray(p.converted) AS conversions,
    toInt64(sum(p.revenue_minor)) AS revenue_minor,
    toInt64(sum(p.earnings_minor)) AS earnings_minor
FROM
(
    SELECT
        key,
        countIf(robot = '') AS clicks,
        uniqExactIf(by_visitor, robot = '') AS visitors,
        countIf(robot != '') AS bot_clicks,
        CAST([] AS Array(UUID)) AS converted,
        0 AS revenue_minor,
        0 AS earnings_minor
    FROM clicks
    GROUP BY key
    UNION ALL
    SELECT key, 0, 0, 0, groupUniqArrayArray(e.converted), sum(e.revenue), sum(e.earned_minor)
    FROM clicks AS c
    INNER JOIN earned AS e ON e.click = c.click
    GROUP BY key
) AS p
GROUP BY key
ORDER BY clicks DESC, key
LIMIT {limit:UInt32} OFFSET {offset:UInt32}
