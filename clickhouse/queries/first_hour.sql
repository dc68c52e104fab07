-- When the first hour began of which something is rolled up; none: 0 hours.
SELECT toInt64(toUnixTimestamp(min(f.hour))) * 1000 AS hour_ms, toUInt64(count()) AS hours
FROM
(
    SELECT min(hour) AS hour FROM hourly_clicks WHERE workspace_id = {workspace:UUID} HAVING count() > 0
    UNION ALL
    SELECT min(hour) FROM hourly_visits WHERE workspace_id = {workspace:UUID} HAVING count() > 0
    UNION ALL
    SELECT min(hour) FROM hourly_outcomes WHERE workspace_id = {workspace:UUID} HAVING count() > 0
) AS f
