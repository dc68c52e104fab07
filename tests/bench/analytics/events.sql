-- Five million events from the given number on, of fifty million in 90 days: 70 in 100
-- clicks on a thousand links of 200 creators and 20 campaigns, the first of them more
-- often; the others page views and acts. Two million visitors, a few of whom are there often.
INSERT INTO events (event_id, workspace_id, kind, at, received_at, visitor, link_id, campaign_id, creator_id,
    name, url, user_agent, network, country, device, os, browser, bot, payload_hash, `offset`)
WITH
    cityHash64(number) AS h1,
    cityHash64(number, 1) AS h2,
    cityHash64(number, 2) AS h3,
    cityHash64(number, 3) AS h4,
    toUInt64(pow((h2 % 1000000) / 1000000., 2) * 2000000) AS person,
    toUInt64(pow((h3 % 1000000) / 1000000., 3) * 1000) AS link,
    if(h4 % 100 < 70, 'click', if(h4 % 100 < 93, 'page', 'track')) AS sort,
    fromUnixTimestamp64Milli({from_ms:Int64} + toInt64(intDiv(number * 15552, 100)) + toInt64(h1 % 60000)) AS moment,
    '-0000-4000-8000-' AS middle
SELECT
    generateUUIDv4(number),
    {workspace:UUID},
    sort,
    moment,
    moment,
    toFixedString(reinterpretAsFixedString(cityHash64(person, 7)) || reinterpretAsFixedString(cityHash64(person, 8)), 16),
    toUUID(if(sort = 'click', concat('20000000', middle, leftPad(toString(link), 12, '0')), toString(toUUID('00000000-0000-0000-0000-000000000000')))),
    toUUID(if(sort = 'click', concat('30000000', middle, leftPad(toString(link % 20), 12, '0')), toString(toUUID('00000000-0000-0000-0000-000000000000')))),
    toUUID(if(sort = 'click', concat('40000000', middle, leftPad(toString(link % 200), 12, '0')), toString(toUUID('00000000-0000-0000-0000-000000000000')))),
    if(sort = 'track', 'signup', ''),
    if(sort = 'page', concat('https://shop.example/', toString(h3 % 500)), ''),
    concat('Mozilla/5.0 (X11; Linux x86_64; rv:', toString(h2 % 300), '.0) Gecko/20100101 Firefox/140.0'),
    concat('10.', toString(person % 200), '.', toString(person % 251), '.0'),
    ['DE', 'FR', 'US', 'GB', 'NL'][person % 5 + 1],
    'desktop',
    'Linux',
    'Firefox',
    if(h2 % 100 < 6, 'user_agent', ''),
    h1,
    number
FROM numbers({first:UInt64}, 5000000)
