-- What people did of a funnel's steps, as bits, from one moment to another. The steps
-- that are any event of a kind, those about something, and pages that begin like it.
acts AS
(
    SELECT
        visitor,
        event_id,
        toUInt64(toUnixTimestamp64Milli(at)) AS ms,
        bitOr(transform(kind, CAST(? AS Array(String)), CAST(? AS Array(UInt16)), toUInt16(0)), multiIf(
            kind = 'page' AND {names_pages:Bool}, bitOr(
                transform(path(url), CAST(? AS Array(String)), CAST(? AS Array(UInt16)), toUInt16(0)),
                toUInt16(arraySum((beginning, steps) -> if(startsWith(path(url), beginning), steps, 0),
                    CAST(? AS Array(String)), CAST(? AS Array(UInt16))))),
            kind = 'click' AND {names_links:Bool},
                transform(toString(link_id), CAST(? AS Array(String)), CAST(? AS Array(UInt16)), toUInt16(0)),
            kind = 'track', transform(name, CAST(? AS Array(String)), CAST(? AS Array(UInt16)), toUInt16(0)),
            kind = 'conversion', transform(name, CAST(? AS Array(String)), CAST(? AS Array(UInt16)), toUInt16(0)),
            toUInt16(0))) AS steps,
        multiIf({by:String} = 'country', country, {by:String} = 'device', device, {by:String} = 'os', os,
            {by:String} = 'browser', browser, {by:String} = 'referrer', domainWithoutWWW(referrer), '') AS known
    FROM events
    WHERE workspace_id = {workspace:UUID} AND kind IN CAST(? AS Array(String)) AND bot = ''
        -- Some kinds are kept by visitor, but for what came in these hours.
        AND (kind NOT IN CAST(? AS Array(String)) OR toStartOfHour(at) IN CAST(CAST(? AS Array(Int64)) AS Array(DateTime('UTC'))))
        AND at >= fromUnixTimestamp64Milli({from_ms:Int64}) AND at < fromUnixTimestamp64Milli({until_ms:Int64})
)
