-- Where some creators stood in the last snapshot of a board before a moment.
WITH last AS
(
    SELECT max(captured_at) AS last_captured_at
    FROM leaderboard_snapshots
    WHERE workspace_id = {workspace:UUID} AND scope = {scope:String} AND metric = {metric:String}
        AND period = {period:String} AND captured_at < fromUnixTimestamp64Milli({before_ms:Int64})
)
SELECT creator_id, rank, toInt64(toUnixTimestamp(captured_at)) * 1000 AS captured_ms
FROM leaderboard_snapshots FINAL
WHERE workspace_id = {workspace:UUID} AND scope = {scope:String} AND metric = {metric:String}
    AND period = {period:String} AND captured_at = (SELECT last_captured_at FROM last)
    AND creator_id IN (SELECT toUUID(arrayJoin(CAST(? AS Array(String)))))
