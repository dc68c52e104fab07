(workspace_id, hour, conversions, shared_conversions, revenue_minor, earnings_minor, version)
-- Some hours of hourly_creator_outcomes, of all creators: what several share counts once.
SELECT
    workspace_id, hour, sum(h.conversions), groupUniqArrayArray(h.shared_conversions),
    sum(h.revenue_minor), sum(h.earnings_minor), {version:UInt64}
FROM hourly_creator_outcomes AS h FINAL
WHERE workspace_id = {workspace:UUID} AND hour IN CAST(CAST(? AS Array(Int64)) AS Array(DateTime('UTC')))
GROUP BY workspace_id, hour
