-- What each creator came to within a time, in all or within some campaigns or among
-- some creators: whole hours as they were rolled up, and the others as counted.
figures AS
(
    SELECT
        creator_id,
        sum(h.clicks) AS clicks,
        sum(h.unique_clicks) AS unique_clicks,
        sum(h.bot_clicks) AS bot_clicks,
        0 AS conversions,
        CAST([] AS Array(UUID)) AS conversion_ids,
        0 AS revenue_minor,
        0 AS earnings_minor,
        CAST(NULL AS Nullable(Int64)) AS engagement
    FROM {hourly_clicks:Identifier} AS h FINAL
    WHERE workspace_id = {workspace:UUID} AND NOT {all_hours:Bool}
        AND hour >= toDateTime(intDiv({from_ms:Int64}, 1000), 'UTC') AND hour < toDateTime(intDiv({to_ms:Int64}, 1000), 'UTC')
        AND hour NOT IN asked_hours
        AND ({all_campaigns:Bool} OR campaign_id IN scope_campaigns)
        AND ({all_creators:Bool} OR creator_id IN scope_creators)
    GROUP BY creator_id
    -- What was erased leaves rows of 0.
    HAVING clicks + bot_clicks > 0
    UNION ALL
    SELECT creator_id, countIf(NOT is_bot), countIf(is_unique), countIf(is_bot), 0, [], 0, 0, NULL
    FROM counted_clicks
    WHERE ({all_campaigns:Bool} OR campaign_id IN scope_campaigns)
        AND ({all_creators:Bool} OR creator_id IN scope_creators)
    GROUP BY creator_id
    UNION ALL
    SELECT
        creator_id, 0, 0, 0, sum(h.conversions), groupUniqArrayArray(h.shared_conversions), sum(h.revenue_minor),
        sum(h.earnings_minor), NULL
    FROM {hourly_outcomes:Identifier} AS h FINAL
    WHERE workspace_id = {workspace:UUID} AND NOT {all_outcome_hours:Bool}
        AND hour >= toDateTime(intDiv({from_ms:Int64}, 1000), 'UTC') AND hour < toDateTime(intDiv({to_ms:Int64}, 1000), 'UTC')
        AND hour NOT IN asked_outcome_hours
        AND ({all_campaigns:Bool} OR campaign_id IN scope_campaigns)
        AND ({all_creators:Bool} OR creator_id IN scope_creators)
    GROUP BY creator_id
    UNION ALL
    SELECT creator_id, 0, 0, 0, 0, groupUniqArrayIf(event_id, is_conversion), sum(revenue), sum(earned), NULL
    FROM counted_outcomes
    WHERE ({all_campaigns:Bool} OR campaign_id IN scope_campaigns)
        AND ({all_creators:Bool} OR creator_id IN scope_creators)
    GROUP BY creator_id
    UNION ALL
    SELECT creator_id, 0, 0, 0, 0, [], 0, 0, engagement
    FROM engagements
),
sums AS
(
    SELECT
        creator_id,
        toUInt64(sum(f.clicks)) AS clicks,
        toUInt64(sum(f.unique_clicks)) AS unique_clicks,
        toUInt64(sum(f.bot_clicks)) AS bot_clicks,
        toUInt64(sum(f.conversions) + uniqExactArray(f.conversion_ids)) AS conversions,
        toInt64(sum(f.revenue_minor)) AS revenue_minor,
        toInt64(sum(f.earnings_minor)) AS earnings_minor,
        sum(f.engagement) AS engagement,
        -- Who is only on platforms is on no board of clicks.
        countIf(f.engagement IS NULL) > 0 AS is_tracked
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
            ['engagement', 'clicks', 'unique_clicks', 'conversions', 'conversion_rate', 'revenue', 'earnings',
                'earnings_per_click'],
            arrayPushFront(
                arrayMap(
                    value -> if(is_tracked, value, NULL),
                    [toNullable(toFloat64(clicks)), toFloat64(unique_clicks), toFloat64(conversions),
                        conversion_rate, toFloat64(revenue_minor), toFloat64(earnings_minor),
                        earnings_per_click_minor]),
                toFloat64(engagement))) AS by_metric
    FROM sums
)
