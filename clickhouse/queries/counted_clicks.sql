-- The clicks of some hours, each once, and whether it repeats another: one of the same
-- visitor on the same link within 24 hours before. Robots' clicks repeat nothing.
CAST(CAST(? AS Array(Int64)) AS Array(DateTime('UTC'))) AS asked_hours,
-- Those, and the hours in which what they may repeat happened.
CAST(CAST(? AS Array(Int64)) AS Array(DateTime('UTC'))) AS near_hours,
clickers AS
(
    SELECT link_id, visitor
    FROM events
    WHERE workspace_id = {workspace:UUID} AND kind = 'click' AND bot = '' AND NOT {all_hours:Bool}
        AND toStartOfHour(at) IN asked_hours
),
clicks_of_visitors AS
(
    SELECT
        link_id,
        campaign_id,
        creator_id,
        arraySort(groupUniqArray((
            bot != '',
            toUnixTimestamp64Milli(at),
            event_id,
            at >= fromUnixTimestamp64Milli({from_ms:Int64}) AND ({all_hours:Bool} OR toStartOfHour(at) IN asked_hours)
        ))) AS clicks
    FROM events
    WHERE workspace_id = {workspace:UUID} AND kind = 'click'
        AND at >= fromUnixTimestamp64Milli(greatest({from_ms:Int64} - 86400000, 0)) AND at < fromUnixTimestamp64Milli({to_ms:Int64})
        AND ({all_hours:Bool} OR toStartOfHour(at) IN near_hours)
        AND ({all_hours:Bool} OR toStartOfHour(at) IN asked_hours OR (link_id, visitor) IN clickers)
    GROUP BY link_id, campaign_id, creator_id, visitor
),
counted_clicks AS
(
    SELECT
        link_id,
        campaign_id,
        creator_id,
        click.2 AS ms,
        click.1 AS is_bot,
        -- People's stand before robots'.
        NOT click.1 AND (number = 1 OR click.2 - clicks[number - 1].2 > 86400000) AS is_unique
    FROM clicks_of_visitors
    ARRAY JOIN clicks AS click, arrayEnumerate(clicks) AS number
    WHERE click.4
)
