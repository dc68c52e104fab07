-- People's journeys as lines of timed touches: for each conversion or sale in
-- the period, the clicks of its visitor within the window before it; for each
-- visitor who clicked in the period and converted in none of it, their clicks.
WITH
    all_events AS (
        SELECT
            event_id, kind, name, order_id, at, visitor, campaign_id, creator_id, value_minor, currency, referrer,
            properties
        FROM events FINAL
        WHERE workspace_id = {workspace: UUID} AND bot = ''
            AND at >= fromUnixTimestamp64Milli({from_ms: Int64} - {window_ms: Int64})
            AND at < fromUnixTimestamp64Milli({to_ms: Int64})
    ),
    touches AS (
        SELECT
            visitor,
            toUnixTimestamp64Milli(at) AS touch_ms,
            JSONExtractString(properties, 'source') AS source,
            domain(referrer) AS site,
            multiIf(
                {by: String} = 'campaign', toString(campaign_id),
                {by: String} = 'creator', toString(creator_id),
                source != '', source,
                site != '', site,
                'direct') AS channel
        FROM all_events
        WHERE kind = 'click'
    ),
    conversions AS (
        SELECT event_id, visitor, toUnixTimestamp64Milli(at) AS conversion_ms, value_minor
        FROM all_events
        WHERE kind IN ('conversion', 'sale') AND at >= fromUnixTimestamp64Milli({from_ms: Int64})
            AND currency IN ('', {currency: String})
        -- An order counts once, whatever it was reported under.
        ORDER BY at, event_id
        LIMIT 1 BY kind, name, if(order_id = '', toString(event_id), order_id)
    )
SELECT journey_id, channel, touch_ts, conversion_ts, conversion_value
FROM (
    SELECT
        toString(event_id) AS journey_id,
        channel,
        touch_ms AS touch_ts,
        toString(conversion_ms) AS conversion_ts,
        toString(value_minor / {minor_per_major: UInt32}) AS conversion_value
    FROM conversions
    INNER JOIN touches ON touches.visitor = conversions.visitor
    WHERE touch_ms <= conversion_ms AND touch_ms >= conversion_ms - {window_ms: Int64}
    UNION ALL
    SELECT hex(visitor) AS journey_id, channel, touch_ms AS touch_ts, '' AS conversion_ts, '' AS conversion_value
    FROM touches
    WHERE touch_ms >= {from_ms: Int64} AND visitor NOT IN (SELECT visitor FROM conversions)
)
ORDER BY journey_id, touch_ts
