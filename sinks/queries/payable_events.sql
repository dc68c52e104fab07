-- What people did that may earn something, from one moment to another: clicks of
-- campaigns that pay for clicks, conversions, sales and payments.
SELECT
    event_id,
    any(if(kind = 'click', campaign_id, toUUID('00000000-0000-0000-0000-000000000000'))) AS clicked_campaign_id,
    toString(toDate(min(at))) AS day,
    toUnixTimestamp64Milli(min(received_at)) AS received_ms
FROM events
WHERE at >= fromUnixTimestamp64Milli({from_ms:Int64}) AND at < fromUnixTimestamp64Milli({to_ms:Int64})
    AND bot = ''
    AND (kind IN ('conversion', 'sale', 'payment') OR kind = 'click' AND toString(campaign_id) IN ?)
GROUP BY workspace_id, event_id
