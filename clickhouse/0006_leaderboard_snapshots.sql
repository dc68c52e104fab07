CREATE TABLE IF NOT EXISTS leaderboard_snapshots
(
    workspace_id UUID                   COMMENT 'The tenant',
    scope        LowCardinality(String) COMMENT 'all, or cohort: and its id',
    metric       LowCardinality(String) COMMENT 'clicks, unique_clicks, conversions, conversion_rate, revenue, earnings or earnings_per_click',
    period       LowCardinality(String) COMMENT 'hour, day, 7d, 30d, month or all: up to then',
    captured_at  DateTime('UTC')        COMMENT 'As of when',
    creator_id   UUID                   COMMENT 'Who',
    rank         UInt32                 COMMENT 'From 1; equal values share one',
    value        Float64                COMMENT 'The figure: whole for counts and for minor units'
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(captured_at)
ORDER BY (workspace_id, scope, metric, period, captured_at, creator_id)
TTL captured_at + INTERVAL 400 DAY
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Leaderboards as they stood: the best 1000 of each, kept for 400 days.'
