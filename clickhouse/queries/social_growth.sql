-- What an account, one of its posts, or all of a creator's accounts had at some moments:
-- each figure as it was last known before; of an account, as it was itself read, if it
-- ever was, else as the sum of its posts. A creator's account counts until it is removed.
asked AS
(
    SELECT account_id, post_id, metric, at_ms, value
    FROM readings
    WHERE ({post:String} = '' OR post_id = {post:String})
        AND ({all_accounts:Bool} OR account_id = {account:UUID})
        AND ({all_creators:Bool} OR creator_id = {creator:UUID})
),
series AS
(
    SELECT
        account_id,
        metric,
        arrayJoin(if(has(groupUniqArray(r.post_id), ''), [''], groupUniqArray(r.post_id))) AS post_id
    FROM asked AS r
    GROUP BY account_id, metric
),
moments AS
(
    SELECT m.moment_ms AS moment_ms, s.account_id AS account_id, s.metric AS metric, s.post_id AS post_id
    FROM (SELECT arrayJoin(CAST(? AS Array(Int64))) AS moment_ms) AS m
    CROSS JOIN series AS s
    WHERE NOT ({all_accounts:Bool} AND indexOf(removed, toString(account_id)) > 0
        AND removed_ms[indexOf(removed, toString(account_id))] < moment_ms)
)
SELECT moment_ms, metric, toInt64(sum(r.value)) AS had
FROM moments AS m
ASOF INNER JOIN asked AS r
    ON m.account_id = r.account_id AND m.post_id = r.post_id AND m.metric = r.metric AND m.moment_ms > r.at_ms
GROUP BY moment_ms, metric
ORDER BY moment_ms, metric
