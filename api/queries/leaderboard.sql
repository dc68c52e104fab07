-- Creators of a workspace by one metric; equal values share a rank.
-- clicks: people's clicks. unique_clicks: people's clicks, one per visitor and
-- link. conversions: conversions and sales attributed and not against a rule.
-- revenue: what those sales were worth, less what of them was refunded.
-- earnings: the creator's part of what was paid, less what refunds took back.
WITH figures AS
(
    SELECT
        creator_id,
        uniqExact(event_id) AS clicks,
        uniqExact(visitor, link_id) AS unique_clicks,
        0 AS conversions,
        0 AS revenue_minor,
        0 AS earnings_minor
    FROM events
    WHERE workspace_id = {workspace:UUID} AND kind = 'click' AND bot = ''
        AND at >= fromUnixTimestamp64Milli({from_ms:Int64})
    GROUP BY creator_id
    UNION ALL
    SELECT
        creator_id,
        0,
        0,
        countIf(kind IN ('conversion', 'sale') AND status IN ('posted', 'rejected_budget') AND NOT is_reward),
        sumIf(value_minor, (kind = 'sale' AND status IN ('posted', 'rejected_budget')
            OR kind = 'refund' AND status = 'posted') AND value_currency = {currency:String}),
        sumIf(creator_minor, currency = {currency:String})
    FROM outcomes FINAL
    WHERE workspace_id = {workspace:UUID}
        AND creator_id != toUUID('00000000-0000-0000-0000-000000000000')
        AND at >= fromUnixTimestamp64Milli({from_ms:Int64})
    GROUP BY creator_id
),
per_creator AS
(
    SELECT
        creator_id,
        toInt64(sum(clicks)) AS clicks,
        toInt64(sum(unique_clicks)) AS unique_clicks,
        toInt64(sum(conversions)) AS conversions,
        toInt64(sum(revenue_minor)) AS revenue_minor,
        toInt64(sum(earnings_minor)) AS earnings_minor
    FROM figures
    GROUP BY creator_id
),
valued AS
(
    SELECT
        *,
        multiIf(
            {metric:String} = 'clicks', clicks,
            {metric:String} = 'unique_clicks', unique_clicks,
            {metric:String} = 'conversions', conversions,
            {metric:String} = 'revenue', revenue_minor,
            earnings_minor) AS value
    FROM per_creator
)
SELECT
    toUInt64(rank() OVER (ORDER BY value DESC)) AS rank,
    creator_id,
    value,
    clicks,
    unique_clicks,
    conversions,
    revenue_minor,
    earnings_minor
FROM valued
ORDER BY rank, creator_id
LIMIT {limit:UInt32}
