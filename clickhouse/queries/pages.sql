-- Pages by how often people looked at them; without query and fragment.
SELECT
    cutQueryStringAndFragment(url) AS page,
    count() OVER () AS total,
    uniqExactIf(event_id, bot = '') AS page_views,
    uniqExactIf(visitor, bot = '') AS visitors,
    uniqExactIf(event_id, bot != '') AS bot_page_views
FROM events
WHERE workspace_id = {workspace:UUID} AND kind = 'page'
    AND at >= fromUnixTimestamp64Milli({from_ms:Int64}) AND at < fromUnixTimestamp64Milli({to_ms:Int64})
GROUP BY page
ORDER BY page_views DESC, page
LIMIT {limit:UInt32} OFFSET {offset:UInt32}
