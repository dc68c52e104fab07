(workspace_id, hour, creator_id, clicks, unique_clicks, bot_clicks, version)
-- Some hours of hourly_clicks, by creator.
SELECT
    workspace_id, hour, creator_id, sum(h.clicks), sum(h.unique_clicks), sum(h.bot_clicks), {version:UInt64}
FROM hourly_clicks AS h FINAL
WHERE workspace_id = {workspace:UUID} AND hour IN CAST(CAST(? AS Array(Int64)) AS Array(DateTime('UTC')))
GROUP BY workspace_id, hour, creator_id
