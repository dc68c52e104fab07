-- Figures in buckets of time. The buckets' beginnings, in milliseconds, ascend;
-- the first is not after from_ms. Buckets without anything have no row.
SELECT
    bucket_ms,
    toUInt64(sum(f.clicks)) AS clicks,
    toUInt64(sum(f.unique_clicks)) AS unique_clicks,
    toUInt64(sum(f.bot_clicks)) AS bot_clicks,
    toUInt64(sum(f.page_views)) AS page_views,
    toUInt64(sum(f.visitors)) AS visitors,
    toUInt64(sum(f.conversions)) AS conversions,
    toInt64(sum(f.revenue_minor)) AS revenue_minor,
    toInt64(sum(f.earnings_minor)) AS earnings_minor
FROM
(
    SELECT
        toInt64(roundDown(toUnixTimestamp64Milli(at), CAST(? AS Array(Int64)))) AS bucket_ms,
        uniqExactIf(event_id, kind = 'click' AND bot = '') AS clicks,
        uniqExactIf((visitor, link_id), kind = 'click' AND bot = '') AS unique_clicks,
        uniqExactIf(event_id, kind = 'click' AND bot != '') AS bot_clicks,
        uniqExactIf(event_id, kind = 'page' AND bot = '') AS page_views,
        uniqExactIf(visitor, bot = '') AS visitors,
        0 AS conversions,
        0 AS revenue_minor,
        0 AS earnings_minor
    FROM events
    WHERE workspace_id = {workspace:UUID} AND kind IN ('click', 'page', 'track')
        AND at >= fromUnixTimestamp64Milli({from_ms:Int64}) AND at < fromUnixTimestamp64Milli({to_ms:Int64})
        AND ({campaign:UUID} = {none:UUID} OR campaign_id = {campaign:UUID})
        AND ({creator:UUID} = {none:UUID} OR creator_id = {creator:UUID})
        AND ({link:UUID} = {none:UUID} OR link_id = {link:UUID})
    GROUP BY bucket_ms
    UNION ALL
    SELECT
        toInt64(roundDown(toUnixTimestamp64Milli(at), CAST(? AS Array(Int64)))) AS bucket_ms,
        0,
        0,
        0,
        0,
        0,
        uniqExactIf(event_id, kind IN ('conversion', 'sale') AND status IN ('posted', 'rejected_budget')),
        sumIf(value_minor, (kind = 'sale' AND status = 'posted' OR kind = 'refund' AND campaign_id != {none:UUID})
            AND value_currency = {currency:String}),
        sumIf(creator_minor, currency = {currency:String})
    FROM outcomes FINAL
    WHERE workspace_id = {workspace:UUID} AND creator_id != {none:UUID} AND NOT is_reward
        AND at >= fromUnixTimestamp64Milli({from_ms:Int64}) AND at < fromUnixTimestamp64Milli({to_ms:Int64})
        AND ({campaign:UUID} = {none:UUID} OR campaign_id = {campaign:UUID})
        AND ({creator:UUID} = {none:UUID} OR creator_id = {creator:UUID})
        AND ({link:UUID} = {none:UUID} OR link_id = {link:UUID})
    GROUP BY bucket_ms
) AS f
GROUP BY bucket_ms
ORDER BY bucket_ms
