-- What a workspace reads with SQL of its own, and dashboards with it. The names and
-- columns here stay; the tables behind them may change. They stand in a database of the
-- workspace's, the only one that its user is granted, and read as who made them. The
-- embedded engine cannot grant so finely: what keeps its readers apart is log_comment, a
-- setting that theirs is fixed to, and that labels their queries in a server's log.
CREATE OR REPLACE VIEW {views}.clicks DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT
    event_id AS click_id,
    at,
    received_at,
    link_id,
    campaign_id,
    creator_id,
    supporter_id,
    lower(hex(visitor)) AS visitor,
    name AS variant,
    bot AS robot,
    (bot = '')::Bool AS is_human,
    country,
    city,
    device,
    os,
    browser,
    referrer,
    domainWithoutWWW(referrer) AS referrer_domain,
    JSONExtractString(properties, 'source') AS utm_source,
    JSONExtractString(properties, 'medium') AS utm_medium,
    JSONExtractString(properties, 'campaign') AS utm_campaign
FROM events FINAL
WHERE workspace_id = '{workspace}' AND getSetting('log_comment') = '{workspace}' AND kind = 'click'
COMMENT 'Clicks on links, robots'' included. Count uniqExact(click_id) where is_human.';

CREATE OR REPLACE VIEW {views}.events DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT
    event_id,
    kind,
    name,
    at,
    received_at,
    lower(hex(visitor)) AS visitor,
    user_id,
    url,
    path(url) AS page,
    title,
    referrer,
    order_id,
    click_id,
    value_minor,
    currency,
    bot AS robot,
    (bot = '')::Bool AS is_human,
    country,
    city,
    device,
    os,
    browser,
    properties
FROM events FINAL
WHERE workspace_id = '{workspace}' AND getSetting('log_comment') = '{workspace}' AND kind NOT IN ('click', 'erase')
COMMENT 'What came in but clicks, before attribution, by kind: page, track, identify, conversion, sale, payment, refund. Count uniqExact(event_id) where is_human. Properties are JSON.';

CREATE OR REPLACE VIEW {views}.outcomes DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT
    event_id,
    leg,
    kind,
    at,
    status,
    reason,
    campaign_id,
    creator_id,
    link_id,
    click_id,
    lower(hex(visitor)) AS visitor,
    is_reward,
    value_minor,
    value_currency,
    gross_minor,
    creator_minor,
    fee_minor,
    other_minor,
    currency
FROM outcomes FINAL
WHERE workspace_id = '{workspace}' AND getSetting('log_comment') = '{workspace}'
COMMENT 'What the books made of each action: one row for each share of it. Sums of creator_minor by currency are what the ledger says.';

CREATE OR REPLACE VIEW {views}.touches DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT event_id, kind, at, click_id, touched_at, link_id, campaign_id, creator_id, model, share
FROM touches FINAL
WHERE workspace_id = '{workspace}' AND getSetting('log_comment') = '{workspace}'
COMMENT 'The clicks behind each conversion and sale (event_id), credited or not: share is each one''s part by the model, whether it was paid or not. That is in outcomes.';

CREATE OR REPLACE VIEW {views}.clicks_by_hour DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT hour, creator_id, campaign_id, link_id, clicks, unique_clicks, bot_clicks
FROM hourly_clicks FINAL
WHERE workspace_id = '{workspace}' AND getSetting('log_comment') = '{workspace}'
COMMENT 'Clicks of whole hours. An hour comes in when it is over, and again within seconds when something of it comes late.';

CREATE OR REPLACE VIEW {views}.outcomes_by_hour DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT
    hour,
    creator_id,
    campaign_id,
    link_id,
    conversions,
    shared_conversions,
    revenue_minor,
    earnings_minor
FROM hourly_outcomes FINAL
WHERE workspace_id = '{workspace}' AND getSetting('log_comment') = '{workspace}'
COMMENT 'Conversions, revenue and earnings of whole hours, in minor units of the workspace''s currency. Conversions are sum(conversions) + length(groupUniqArrayArray(shared_conversions)): those that several creators share count once.';

CREATE OR REPLACE VIEW {views}.sessions DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT
    visitor,
    fromUnixTimestamp64Milli(parts[1].1, 'UTC') AS started_at,
    fromUnixTimestamp64Milli(parts[-1].2, 'UTC') AS ended_at,
    arraySum(part -> part.3, parts) AS actions,
    arraySum(part -> part.4, parts) AS page_views,
    arrayFirst(part -> part.4 > 0, parts).5 AS entry_page,
    arrayLast(part -> part.4 > 0, parts).6 AS exit_page,
    parts[1].7 AS country,
    parts[1].8 AS device,
    (actions = 1)::Bool AS is_bounce
FROM
(
    SELECT lower(hex(of_visitor)) AS visitor, arrayJoin(arraySplit((part, before) -> part.1 - before > 1800000, all_parts,
        arrayPushFront(arrayPopBack(arrayMap(part -> part.2, all_parts)), toInt64(0)))) AS parts
    FROM
    (
        SELECT visitor AS of_visitor, arraySort(groupArrayArray(arrayMap(
            (begin_ms, length_ms, action_count, page_count, entry, exit, from_country, with_device) -> (
                toInt64(toUnixTimestamp(hour)) * 1000 + begin_ms,
                toInt64(toUnixTimestamp(hour)) * 1000 + begin_ms + length_ms,
                action_count, page_count, entry, exit, toString(from_country), toString(with_device)),
            part.begin_ms, part.length_ms, part.actions, part.pages, part.entry, part.exit, part.country, part.device))) AS all_parts
        FROM visitor_sessions FINAL
        WHERE workspace_id = '{workspace}' AND getSetting('log_comment') = '{workspace}'
        GROUP BY visitor
    )
)
COMMENT 'What visitors did until nothing came for more than half an hour, robots left out; of whole hours. Every question reads all of them.';

CREATE OR REPLACE VIEW {views}.leaderboards DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT captured_at, scope, metric, period, rank, creator_id, value
FROM leaderboard_snapshots FINAL
WHERE workspace_id = '{workspace}' AND getSetting('log_comment') = '{workspace}'
COMMENT 'Leaderboards as they stood at captured_at.';

CREATE OR REPLACE VIEW {views}.social DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT
    captured_at,
    account_id,
    post_id,
    creator_id,
    platform,
    published_at,
    followers,
    following,
    posts,
    views,
    impressions,
    reach,
    likes,
    comments,
    shares,
    clicks,
    saves
FROM social_metrics FINAL
WHERE workspace_id = '{workspace}' AND getSetting('log_comment') = '{workspace}'
COMMENT 'What social accounts, and posts where post_id is not empty, had each time they were read: totals up to captured_at, null where not known.';

CREATE OR REPLACE VIEW {views}.campaigns DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT id AS campaign_id, name AS title
FROM names FINAL
WHERE workspace_id = '{workspace}' AND getSetting('log_comment') = '{workspace}' AND kind = 'campaign'
COMMENT 'What campaigns are called.';

CREATE OR REPLACE VIEW {views}.links DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT id AS link_id, code, name AS destination
FROM names FINAL
WHERE workspace_id = '{workspace}' AND getSetting('log_comment') = '{workspace}' AND kind = 'link'
COMMENT 'Links'' short codes, and where they lead.';

CREATE OR REPLACE VIEW {views}.users DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT id AS user_id, code AS username, name AS display_name
FROM names FINAL
WHERE workspace_id = '{workspace}' AND getSetting('log_comment') = '{workspace}' AND kind = 'user'
COMMENT 'What creators, supporters and businesses are called: creator_id and supporter_id are theirs.'
