-- Figures by the hour, so that a question about a year does not read a year's events.
-- They are made of events and outcomes of whole hours, again whenever something came in
-- late, and replace what stood there: nothing can count twice. Which hours are older than
-- what they are made of stands in Postgres (rollup_marks); those are counted from the
-- events themselves. Sums of all rows are right with FINAL only.
CREATE TABLE IF NOT EXISTS hourly_clicks
(
    workspace_id  UUID            COMMENT 'The tenant',
    hour          DateTime('UTC') COMMENT 'When it began',
    creator_id    UUID            COMMENT 'Who earns by them',
    campaign_id   UUID            COMMENT 'The link''s campaign',
    link_id       UUID            COMMENT 'The link',
    clicks        UInt64          COMMENT 'Distinct clicks of people',
    unique_clicks UInt64          COMMENT 'Those that repeat none of the same visitor on the same link within 24 hours before',
    bot_clicks    UInt64          COMMENT 'Distinct clicks that do not count as a person''s',
    version       UInt64          COMMENT 'The latest replaces those before'
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(hour)
ORDER BY (workspace_id, hour, creator_id, campaign_id, link_id)
COMMENT 'Clicks by hour and link. Read with FINAL, and without the hours in rollup_marks.';

CREATE TABLE IF NOT EXISTS hourly_outcomes
(
    workspace_id       UUID            COMMENT 'The tenant',
    hour               DateTime('UTC') COMMENT 'When it began',
    creator_id         UUID            COMMENT 'Who earns',
    campaign_id        UUID            COMMENT 'The campaign; none for payments',
    link_id            UUID            COMMENT 'The link of the deciding click',
    conversions        UInt64          COMMENT 'Conversions and sales of one leg that are against no rule',
    shared_conversions Array(UUID)     COMMENT 'The ids of those of several legs, which count once however they are summed up',
    revenue_minor      Int64           COMMENT 'What paid sales were worth, less refunds, minor units of the workspace''s currency',
    earnings_minor     Int64           COMMENT 'To the creator, less refunds, minor units of the workspace''s currency',
    version            UInt64          COMMENT 'The latest replaces those before'
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(hour)
ORDER BY (workspace_id, hour, creator_id, campaign_id, link_id)
COMMENT 'Outcomes by hour, creator, campaign and link. Read with FINAL, and without the hours in rollup_marks.';

CREATE TABLE IF NOT EXISTS hourly_visits
(
    workspace_id  UUID            COMMENT 'The tenant',
    hour          DateTime('UTC') COMMENT 'When it began',
    previous_hour DateTime('UTC') COMMENT 'The last hour before it in which they were seen; 1970 if in none of the 32 days before',
    visitors      UInt64          COMMENT 'People seen in the hour. Those of a longer time: whose previous hour is before its beginning',
    page_views    UInt64          COMMENT 'Distinct page views of people in the hour, in the row of 1970',
    version       UInt64          COMMENT 'The latest replaces those before'
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(hour)
ORDER BY (workspace_id, hour, previous_hour)
COMMENT 'Visitors by hour and by when they were seen before. Read with FINAL, and up to the first hour in rollup_marks.'
