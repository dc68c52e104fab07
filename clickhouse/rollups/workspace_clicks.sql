(workspace_id, hour, clicks, unique_clicks, bot_clicks, version)
-- Some hours of hourly_creator_clicks, of all creators.
SELECT workspace_id, hour, sum(h.clicks), sum(h.unique_clicks), sum(h.bot_clicks), {version:UInt64}
FROM hourly_creator_clicks AS h FINAL
WHERE workspace_id = {workspace:UUID} AND hour IN CAST(CAST(? AS Array(Int64)) AS Array(DateTime('UTC')))
GROUP BY workspace_id, hour
