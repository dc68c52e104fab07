-- Whoever clicked in buckets of time, of some campaign, creator or link.
SELECT
    toInt64(roundDown(toUnixTimestamp64Milli(at), CAST(? AS Array(Int64)))) AS bucket_ms,
    toUInt64(uniqExact(visitor)) AS visitors,
    toUInt64(0) AS page_views
FROM events
WHERE workspace_id = {workspace:UUID} AND kind = 'click' AND bot = ''
    AND at >= fromUnixTimestamp64Milli({from_ms:Int64}) AND at < fromUnixTimestamp64Milli({to_ms:Int64})
    AND ({campaign:UUID} = {none:UUID} OR campaign_id = {campaign:UUID})
    AND ({creator:UUID} = {none:UUID} OR creator_id = {creator:UUID})
    AND ({link:UUID} = {none:UUID} OR link_id = {link:UUID})
GROUP BY bucket_ms
ORDER BY bucket_ms
