CAST(? AS Array(Int64)) AS starts_ms
-- Figures in buckets of time. The buckets' beginnings, in milliseconds, ascend; the
-- first is not after from_ms. Buckets without anything have no row. Hours in which a
-- bucket begins are counted, not rolled up.
SELECT
    bucket_ms,
    toUInt64(sum(f.clicks)) AS clicks,
    toUInt64(sum(f.unique_clicks)) AS unique_clicks,
    toUInt64(sum(f.bot_clicks)) AS bot_clicks,
    toUInt64(sum(f.conversions) + uniqExactArray(f.conversion_ids)) AS conversions,
    toInt64(sum(f.revenue_minor)) AS revenue_minor,
    toInt64(sum(f.earnings_minor)) AS earnings_minor
FROM
(
    SELECT
        toInt64(roundDown(toInt64(toUnixTimestamp(hour)) * 1000, starts_ms)) AS bucket_ms,
        sum(h.clicks) AS clicks,
        sum(h.unique_clicks) AS unique_clicks,
        sum(h.bot_clicks) AS bot_clicks,
        0 AS conversions,
        CAST([] AS Array(UUID)) AS conversion_ids,
        0 AS revenue_minor,
        0 AS earnings_minor
    FROM {hourly_clicks:Identifier} AS h FINAL
    WHERE workspace_id = {workspace:UUID} AND NOT {all_hours:Bool}
        AND hour >= toDateTime(intDiv({from_ms:Int64}, 1000), 'UTC') AND hour < toDateTime(intDiv({to_ms:Int64}, 1000), 'UTC')
        AND hour NOT IN asked_hours
        AND ({campaign:UUID} = {none:UUID} OR campaign_id = {campaign:UUID})
        AND ({creator:UUID} = {none:UUID} OR creator_id = {creator:UUID})
        AND ({link:UUID} = {none:UUID} OR link_id = {link:UUID})
    GROUP BY bucket_ms
    UNION ALL
    SELECT
        toInt64(roundDown(ms, starts_ms)) AS bucket_ms,
        countIf(NOT is_bot), countIf(is_unique), countIf(is_bot), 0, [], 0, 0
    FROM counted_clicks
    WHERE ({campaign:UUID} = {none:UUID} OR campaign_id = {campaign:UUID})
        AND ({creator:UUID} = {none:UUID} OR creator_id = {creator:UUID})
        AND ({link:UUID} = {none:UUID} OR link_id = {link:UUID})
    GROUP BY bucket_ms
    UNION ALL
    SELECT
        toInt64(roundDown(toInt64(toUnixTimestamp(hour)) * 1000, starts_ms)) AS bucket_ms,
        0, 0, 0, sum(h.conversions), groupUniqArrayArray(h.shared_conversions), sum(h.revenue_minor), sum(h.earnings_minor)
    FROM {hourly_outcomes:Identifier} AS h FINAL
    WHERE workspace_id = {workspace:UUID} AND NOT {all_outcome_hours:Bool}
        AND hour >= toDateTime(intDiv({from_ms:Int64}, 1000), 'UTC') AND hour < toDateTime(intDiv({to_ms:Int64}, 1000), 'UTC')
        AND hour NOT IN asked_outcome_hours
        AND ({campaign:UUID} = {none:UUID} OR campaign_id = {campaign:UUID})
        AND ({creator:UUID} = {none:UUID} OR creator_id = {creator:UUID})
        AND ({link:UUID} = {none:UUID} OR link_id = {link:UUID})
    GROUP BY bucket_ms
    UNION ALL
    SELECT
        toInt64(roundDown(ms, starts_ms)) AS bucket_ms,
        0, 0, 0, 0, groupUniqArrayIf(event_id, is_conversion), sum(revenue), sum(earned)
    FROM counted_outcomes
    WHERE ({campaign:UUID} = {none:UUID} OR campaign_id = {campaign:UUID})
        AND ({creator:UUID} = {none:UUID} OR creator_id = {creator:UUID})
        AND ({link:UUID} = {none:UUID} OR link_id = {link:UUID})
    GROUP BY bucket_ms
) AS f
GROUP BY bucket_ms
ORDER BY bucket_ms
