-- When the first reading of a workspace's social accounts was taken; 0, if none was.
SELECT if(count() = 0, 0, toUnixTimestamp64Milli(min(captured_at)))
FROM social_metrics
WHERE workspace_id = {workspace:UUID}
