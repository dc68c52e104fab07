-- An experiment's visitors by the variant that they saw first, and how many of them did
-- afterwards what it is about. Of a link, its clicks show its variants.
WITH
exposures AS
(
    SELECT
        visitor,
        argMin(variant, (ms, event_id)) AS first_variant,
        min(ms) AS first_ms,
        uniqExact(variant) > 1 AS has_seen_others
    FROM
    (
        SELECT
            visitor,
            event_id,
            toUnixTimestamp64Milli(at) AS ms,
            -- Ids may be numbers.
            if(kind = 'click', name, arrayFirst(text -> text != '', arrayMap(
                key -> if(JSONType(properties, key) = 'String', JSONExtractString(properties, key), JSONExtractRaw(properties, key)),
                ['variation_id', 'variation_name']))) AS variant
        FROM events
        WHERE workspace_id = {workspace:UUID} AND bot = ''
            AND at >= fromUnixTimestamp64Milli({from_ms:Int64}) AND at < fromUnixTimestamp64Milli({to_ms:Int64})
            AND (kind = 'click' AND link_id = {link:UUID} AND {is_link:Bool}
                OR kind = 'track' AND name = 'Experiment Viewed' AND NOT {is_link:Bool}
                    AND has(arrayMap(
                        key -> if(JSONType(properties, key) = 'String', JSONExtractString(properties, key), JSONExtractRaw(properties, key)),
                        ['experiment_id', 'experiment_name']), {experiment:String}))
    )
    WHERE variant != ''
    GROUP BY visitor
),
goals AS
(
    SELECT visitor, max(toUnixTimestamp64Milli(at)) AS last_ms
    FROM events
    WHERE workspace_id = {workspace:UUID} AND bot = '' AND kind = {goal_kind:String}
        AND at >= fromUnixTimestamp64Milli({from_ms:Int64}) AND at < fromUnixTimestamp64Milli({to_ms:Int64})
        AND ({goal_begins:Bool} AND startsWith(path(url), {goal:String}) OR NOT {goal_begins:Bool} AND
            ({goal:String} = '' OR if(kind = 'page', path(url), name) = {goal:String}))
    GROUP BY visitor
)
SELECT
    first_variant AS variant,
    count() AS visitors,
    countIf(g.last_ms >= e.first_ms) AS converted,
    countIf(has_seen_others) AS saw_others
FROM exposures AS e
LEFT JOIN goals AS g ON g.visitor = e.visitor
GROUP BY variant
ORDER BY variant
