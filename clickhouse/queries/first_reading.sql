-- When an account, or any of a creator's, was first read; 0, if it never was.
SELECT if(count() = 0, 0, toUnixTimestamp64Milli(min(captured_at)))
FROM social_metrics
WHERE workspace_id = {workspace:UUID}
    AND ({all_accounts:Bool} OR account_id = {account:UUID})
    AND ({all_creators:Bool} OR creator_id = {creator:UUID})
