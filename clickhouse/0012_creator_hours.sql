-- The same by hour and creator, whatever the campaign and the link: most questions are
-- about all of these, and read a fraction of the rows here.
CREATE TABLE IF NOT EXISTS hourly_creator_clicks AS hourly_clicks
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(hour)
ORDER BY (workspace_id, hour, creator_id)
COMMENT 'hourly_clicks by creator: campaign_id and link_id say nothing here. Read with FINAL, and without the hours in rollup_marks.';

CREATE TABLE IF NOT EXISTS hourly_creator_outcomes AS hourly_outcomes
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(hour)
ORDER BY (workspace_id, hour, creator_id)
COMMENT 'hourly_outcomes by creator: campaign_id and link_id say nothing here. Read with FINAL, and without the hours in rollup_marks.';

INSERT INTO hourly_creator_clicks (workspace_id, hour, creator_id, clicks, unique_clicks, bot_clicks, version)
SELECT workspace_id, hour, creator_id, sum(h.clicks), sum(h.unique_clicks), sum(h.bot_clicks), max(h.version)
FROM hourly_clicks AS h FINAL
GROUP BY workspace_id, hour, creator_id
SETTINGS max_partitions_per_insert_block = 0;

INSERT INTO hourly_creator_outcomes
    (workspace_id, hour, creator_id, conversions, shared_conversions, revenue_minor, earnings_minor, version)
SELECT
    workspace_id, hour, creator_id, sum(h.conversions), groupUniqArrayArray(h.shared_conversions),
    sum(h.revenue_minor), sum(h.earnings_minor), max(h.version)
FROM hourly_outcomes AS h FINAL
GROUP BY workspace_id, hour, creator_id
SETTINGS max_partitions_per_insert_block = 0
