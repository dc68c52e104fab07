CAST(CAST(? AS Array(Int64)) AS Array(DateTime('UTC'))) AS asked_hours,
-- What people did in each of some hours, in parts between which nothing came for longer
-- than the gap.
counted_sessions AS
(
    SELECT
        visitor,
        hour,
        arraySplit((act, pause) -> pause > {part_gap_ms:Int64}, acts, arrayDifference(arrayMap(act -> act.1, acts))) AS parts,
        arrayMap(part -> toUInt32(part[1].1), parts) AS `part.begin_ms`,
        arrayMap(part -> toUInt32(part[-1].1 - part[1].1), parts) AS `part.length_ms`,
        arrayMap(part -> toUInt32(length(part)), parts) AS `part.actions`,
        arrayMap(part -> toUInt32(arrayCount(act -> act.3, part)), parts) AS `part.pages`,
        arrayMap(part -> arrayFirst(act -> act.3, part).4, parts) AS `part.entry`,
        arrayMap(part -> arrayLast(act -> act.3, part).4, parts) AS `part.exit`,
        arrayMap(part -> part[1].5, parts) AS `part.country`,
        arrayMap(part -> part[1].6, parts) AS `part.device`
    FROM
    (
        SELECT visitor, hour, arraySort(groupArray((ms, id, is_page, page, from_country, with_device))) AS acts
        FROM
        (
            -- One that came twice in an hour happened when it was first said to have.
            SELECT
                visitor,
                toStartOfHour(at) AS hour,
                UUIDToNum(event_id) AS id,
                min(toUnixTimestamp64Milli(at)) - toInt64(toUnixTimestamp(hour)) * 1000 AS ms,
                any(kind) = 'page' AS is_page,
                any(cutQueryStringAndFragment(url)) AS page,
                toString(any(country)) AS from_country,
                toString(any(device)) AS with_device
            FROM events
            WHERE workspace_id = {workspace:UUID} AND kind IN ('click', 'page', 'track') AND bot = ''
                AND at >= fromUnixTimestamp64Milli({from_ms:Int64}) AND at < fromUnixTimestamp64Milli({to_ms:Int64})
                AND ({all_hours:Bool} OR toStartOfHour(at) IN asked_hours)
            GROUP BY visitor, hour, event_id
        )
        GROUP BY visitor, hour
    )
)
