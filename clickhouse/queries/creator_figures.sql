-- What each creator came to within a time, in all or within some campaigns or
-- among some creators. The terms are those of docs/METRICS.md. An event that came
-- twice counts once.
WITH
scope_campaigns AS (SELECT toUUID(arrayJoin(CAST(? AS Array(String)))) AS id),
scope_creators AS (SELECT toUUID(arrayJoin(CAST(? AS Array(String)))) AS id),
figures AS
(
    SELECT
        creator_id,
        uniqExactIf(event_id, bot = '') AS clicks,
        uniqExactIf((visitor, link_id), bot = '') AS unique_clicks,
        uniqExactIf(event_id, bot != '') AS bot_clicks,
        0 AS conversions,
        0 AS revenue_minor,
        0 AS earnings_minor
    FROM events
    WHERE workspace_id = {workspace:UUID} AND kind = 'click'
        AND at >= fromUnixTimestamp64Milli({from_ms:Int64}) AND at < fromUnixTimestamp64Milli({to_ms:Int64})
        AND ({all_campaigns:Bool} OR campaign_id IN scope_campaigns)
        AND ({all_creators:Bool} OR creator_id IN scope_creators)
    GROUP BY creator_id
    UNION ALL
    SELECT
        creator_id,
        0,
        0,
        0,
        uniqExactIf(event_id, kind IN ('conversion', 'sale') AND status IN ('posted', 'rejected_budget')),
        sumIf(value_minor, (kind = 'sale' AND status = 'posted' OR kind = 'refund' AND campaign_id != toUUID('00000000-0000-0000-0000-000000000000'))
            AND value_currency = {currency:String}),
        sumIf(creator_minor, currency = {currency:String})
    FROM outcomes FINAL
    WHERE workspace_id = {workspace:UUID}
        AND creator_id != toUUID('00000000-0000-0000-0000-000000000000') AND NOT is_reward
        AND at >= fromUnixTimestamp64Milli({from_ms:Int64}) AND at < fromUnixTimestamp64Milli({to_ms:Int64})
        AND ({all_campaigns:Bool} OR campaign_id IN scope_campaigns)
        AND ({all_creators:Bool} OR creator_id IN scope_creators)
    GROUP BY creator_id
),
sums AS
(
    SELECT
        creator_id,
        toUInt64(sum(f.clicks)) AS clicks,
        toUInt64(sum(f.unique_clicks)) AS unique_clicks,
        toUInt64(sum(f.bot_clicks)) AS bot_clicks,
        toUInt64(sum(f.conversions)) AS conversions,
        toInt64(sum(f.revenue_minor)) AS revenue_minor,
        toInt64(sum(f.earnings_minor)) AS earnings_minor
    FROM figures AS f
    GROUP BY creator_id
),
creator_figures AS
(
    SELECT
        *,
        toUInt64(clicks - unique_clicks) AS repeated_clicks,
        if(clicks = 0, NULL, conversions / clicks) AS conversion_rate,
        if(clicks = 0, NULL, earnings_minor / clicks) AS earnings_per_click_minor,
        mapFromArrays(
            ['clicks', 'unique_clicks', 'conversions', 'conversion_rate', 'revenue', 'earnings',
                'earnings_per_click'],
            [toNullable(toFloat64(clicks)), toFloat64(unique_clicks), toFloat64(conversions), conversion_rate,
                toFloat64(revenue_minor), toFloat64(earnings_minor), earnings_per_click_minor]) AS by_metric
    FROM sums
)
