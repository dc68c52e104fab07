-- What each visitor did of a funnel's steps, as bits, from one moment to another; only of
-- those who took the first step, and what is known of them when they first did.
WITH
CAST(? AS Array(String)) AS kinds,
CAST(? AS Array(UInt16)) AS kind_steps,
-- Kind and what it was about.
CAST(? AS Array(String)) AS subjects,
CAST(? AS Array(UInt16)) AS subject_steps,
-- Beginnings of these, for pages that end in *.
CAST(? AS Array(String)) AS beginnings,
CAST(? AS Array(UInt16)) AS beginning_steps,
acts AS
(
    SELECT
        visitor,
        toUnixTimestamp64Milli(at) AS ms,
        event_id,
        concat(kind, ':', multiIf(
            kind = 'page', path(url),
            kind = 'click', if({names_links:Bool}, toString(link_id), ''),
            name)) AS subject,
        bitOr(
            bitOr(transform(kind, kinds, kind_steps, toUInt16(0)), transform(subject, subjects, subject_steps, toUInt16(0))),
            toUInt16(arraySum((beginning, steps) -> if(startsWith(subject, beginning), steps, 0), beginnings, beginning_steps))
        ) AS steps,
        multiIf({by:String} = 'country', country, {by:String} = 'device', device, {by:String} = 'os', os,
            {by:String} = 'browser', browser, {by:String} = 'referrer', domainWithoutWWW(referrer), '') AS known
    FROM events
    WHERE workspace_id = {workspace:UUID} AND kind IN (SELECT arrayJoin(CAST(? AS Array(String)))) AND bot = ''
        AND at >= fromUnixTimestamp64Milli({from_ms:Int64}) AND at < fromUnixTimestamp64Milli({until_ms:Int64})
)
SELECT
    groupArray((ms, steps)) AS acts,
    argMinIf(known, (ms, event_id), bitAnd(steps, 1) = 1) AS key
FROM acts
WHERE steps != 0
GROUP BY visitor
HAVING groupBitOr(steps) % 2 = 1
