,
-- The same of all hours, as moments since 1970.
parts_of_visitors AS
(
    SELECT visitor, arraySort(groupArrayArray(hour_parts)) AS parts
    FROM
    (
        SELECT visitor, arrayMap((begin_ms, length_ms, action_count, page_count, key) -> (
            toInt64(toUnixTimestamp(hour)) * 1000 + begin_ms, length_ms, action_count, page_count, toString(key)
            ), part.begin_ms, part.length_ms, part.actions, part.pages, {keys:Identifier}) AS hour_parts
        FROM visitor_sessions FINAL
        WHERE workspace_id = {workspace:UUID} AND NOT {all_hours:Bool} AND hour NOT IN asked_hours
            AND hour >= toStartOfHour(fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')) AND hour < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
        UNION ALL
        SELECT visitor, arrayMap((begin_ms, length_ms, action_count, page_count, key) -> (
            toInt64(toUnixTimestamp(hour)) * 1000 + begin_ms, length_ms, action_count, page_count, toString(key)
            ), part.begin_ms, part.length_ms, part.actions, part.pages, {keys:Identifier}) AS hour_parts
        FROM counted_sessions
    )
    GROUP BY visitor
),
visits AS
(
    SELECT
        visitor,
        arrayJoin(arraySplit((part, before) -> part.1 - before > {gap_ms:Int64}, parts,
            arrayPushFront(arrayPopBack(arrayMap(part -> part.1 + part.2, parts)), toInt64(0)))) AS visit_parts,
        visit_parts[-1].1 + visit_parts[-1].2 - visit_parts[1].1 AS duration_ms,
        arraySum(part -> part.3, visit_parts) AS actions,
        arraySum(part -> part.4, visit_parts) AS page_views,
        multiIf(
            {by:String} = 'nothing', '',
            {by:String} = 'entry', arrayFirst(part -> part.4 > 0, visit_parts).5,
            {by:String} = 'exit', arrayLast(part -> part.4 > 0, visit_parts).5,
            visit_parts[1].5) AS key
    FROM parts_of_visitors
)
-- Sessions of people within a time: what a visitor did until nothing came for longer than
-- the gap. Events beyond the time asked for are not looked at.
SELECT
    key,
    count() OVER () AS total,
    count() AS sessions,
    uniqExact(visitor) AS visitors,
    countIf(v.actions = 1) AS bounces,
    toUInt64(sum(v.page_views)) AS page_views,
    toInt64(sum(v.duration_ms)) AS duration_ms
FROM visits AS v
GROUP BY key
ORDER BY sessions DESC, key
LIMIT {limit:UInt32} OFFSET {offset:UInt32}
