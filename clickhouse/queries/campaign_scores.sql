-- What each campaign came to within a time, and its score by one metric: what it came to in
-- an hour, halved every {half_life_hours} hours between the beginning of that hour and of the last.
-- Whole hours as they were rolled up, and the others as counted.
SELECT
    campaign_id,
    sum(h.clicks) AS clicks,
    sum(h.unique_clicks) AS unique_clicks,
    sum(h.conversions) AS conversions,
    sum(h.revenue_minor) AS revenue_minor,
    -- Sums of fractions depend on their order, a little.
    round(sum(
        multiIf(
            {metric:String} = 'clicks', toFloat64(h.clicks),
            {metric:String} = 'unique_clicks', toFloat64(h.unique_clicks),
            {metric:String} = 'conversions', toFloat64(h.conversions),
            toFloat64(h.revenue_minor))
        * exp2(-intDiv({last_hour_ms:Int64} - hour_ms, 3600000) / {half_life_hours:Float64})), 6) AS score
FROM
(
    SELECT
        campaign_id,
        hour_ms,
        toUInt64(sum(f.clicks)) AS clicks,
        toUInt64(sum(f.unique_clicks)) AS unique_clicks,
        toUInt64(sum(f.conversions) + uniqExactArray(f.conversion_ids)) AS conversions,
        toInt64(sum(f.revenue_minor)) AS revenue_minor
    FROM
    (
        SELECT
            campaign_id,
            toInt64(toUnixTimestamp(hour)) * 1000 AS hour_ms,
            sum(c.clicks) AS clicks,
            sum(c.unique_clicks) AS unique_clicks,
            0 AS conversions,
            CAST([] AS Array(UUID)) AS conversion_ids,
            0 AS revenue_minor
        FROM hourly_clicks AS c FINAL
        WHERE workspace_id = {workspace:UUID} AND NOT {all_hours:Bool}
            AND hour >= toDateTime(intDiv({from_ms:Int64}, 1000), 'UTC') AND hour < toDateTime(intDiv({to_ms:Int64}, 1000), 'UTC')
            AND hour NOT IN asked_hours
        GROUP BY campaign_id, hour
        UNION ALL
        SELECT campaign_id, intDiv(ms, 3600000) * 3600000, countIf(NOT is_bot), countIf(is_unique), 0, [], 0
        FROM counted_clicks
        GROUP BY campaign_id, intDiv(ms, 3600000)
        UNION ALL
        SELECT
            campaign_id, toInt64(toUnixTimestamp(hour)) * 1000, 0, 0, sum(o.conversions),
            groupUniqArrayArray(o.shared_conversions), sum(o.revenue_minor)
        FROM hourly_outcomes AS o FINAL
        WHERE workspace_id = {workspace:UUID} AND NOT {all_outcome_hours:Bool}
            AND hour >= toDateTime(intDiv({from_ms:Int64}, 1000), 'UTC') AND hour < toDateTime(intDiv({to_ms:Int64}, 1000), 'UTC')
            AND hour NOT IN asked_outcome_hours
        GROUP BY campaign_id, hour
        UNION ALL
        SELECT campaign_id, intDiv(ms, 3600000) * 3600000, 0, 0, 0, groupUniqArrayIf(event_id, is_conversion), sum(revenue)
        FROM counted_outcomes
        GROUP BY campaign_id, intDiv(ms, 3600000)
    ) AS f
    GROUP BY campaign_id, hour_ms
) AS h
GROUP BY campaign_id
