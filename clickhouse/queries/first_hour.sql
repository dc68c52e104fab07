-- When the first hour began of which something is rolled up; none: 0 hours.
SELECT toInt64(toUnixTimestamp(min(f.hour))) * 1000 AS hour_ms, toUInt64(count()) AS hours
FROM
(
    (SELECT hour FROM hourly_clicks WHERE workspace_id = {workspace:UUID} ORDER BY hour LIMIT 1)
    UNION ALL
    (SELECT hour FROM hourly_visits WHERE workspace_id = {workspace:UUID} ORDER BY hour LIMIT 1)
    UNION ALL
    (SELECT hour FROM hourly_outcomes WHERE workspace_id = {workspace:UUID} ORDER BY hour LIMIT 1)
) AS f
