-- The same by hour alone: a series of all that happened reads a row for each hour.
CREATE TABLE IF NOT EXISTS hourly_workspace_clicks AS hourly_clicks
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(hour)
ORDER BY (workspace_id, hour)
COMMENT 'hourly_clicks of all creators: creator_id, campaign_id and link_id say nothing here. Read with FINAL, and without the hours in rollup_marks.';

CREATE TABLE IF NOT EXISTS hourly_workspace_outcomes AS hourly_outcomes
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(hour)
ORDER BY (workspace_id, hour)
COMMENT 'hourly_outcomes of all creators: creator_id, campaign_id and link_id say nothing here. Read with FINAL, and without the hours in rollup_marks.';

INSERT INTO hourly_workspace_clicks (workspace_id, hour, clicks, unique_clicks, bot_clicks, version)
SELECT workspace_id, hour, sum(h.clicks), sum(h.unique_clicks), sum(h.bot_clicks), max(h.version)
FROM hourly_creator_clicks AS h FINAL
GROUP BY workspace_id, hour
SETTINGS max_partitions_per_insert_block = 0;

INSERT INTO hourly_workspace_outcomes
    (workspace_id, hour, conversions, shared_conversions, revenue_minor, earnings_minor, version)
SELECT
    workspace_id, hour, sum(h.conversions), groupUniqArrayArray(h.shared_conversions),
    sum(h.revenue_minor), sum(h.earnings_minor), max(h.version)
FROM hourly_creator_outcomes AS h FINAL
GROUP BY workspace_id, hour
SETTINGS max_partitions_per_insert_block = 0
