-- When the first event or outcome from one moment to another happened; none: before the
-- second.
SELECT if(count() = 0, {to_ms:Int64} - 1, min(f.ms))
FROM
(
    SELECT min(toUnixTimestamp64Milli(at)) AS ms
    FROM events
    WHERE workspace_id = {workspace:UUID} AND at >= fromUnixTimestamp64Milli({from_ms:Int64}) AND at < fromUnixTimestamp64Milli({to_ms:Int64})
    HAVING count() > 0
    UNION ALL
    SELECT min(toUnixTimestamp64Milli(at))
    FROM outcomes
    WHERE workspace_id = {workspace:UUID} AND at >= fromUnixTimestamp64Milli({from_ms:Int64}) AND at < fromUnixTimestamp64Milli({to_ms:Int64})
    HAVING count() > 0
) AS f
