CREATE TABLE IF NOT EXISTS refused_rows
(
    `table`      LowCardinality(String) COMMENT 'Which table refused it',
    topic        LowCardinality(String) COMMENT 'The Kafka topic that it came from',
    partition    UInt16                 COMMENT 'Its partition',
    `offset`     UInt64                 COMMENT 'Its offset: the message itself is there as long as the topic keeps it',
    workspace_id UUID                   COMMENT 'The tenant',
    event_id     UUID                   COMMENT 'The event',
    kind         LowCardinality(String) COMMENT 'The event''s kind',
    visitor      FixedString(16)        COMMENT 'Who did it: with an erasure the row goes, too',
    received_at  DateTime64(3, 'UTC')   COMMENT 'When the collector took it',
    row          String                 COMMENT 'The row as JSON' CODEC(ZSTD(3)),
    error        String                 COMMENT 'What ClickHouse said' CODEC(ZSTD(3)),
    refused_at   DateTime64(3, 'UTC')   COMMENT 'When'
)
ENGINE = ReplacingMergeTree(refused_at)
PARTITION BY toYYYYMM(refused_at)
ORDER BY (`table`, topic, partition, `offset`)
COMMENT 'Rows that ClickHouse refuses for what is in them, found by halving what was refused; the rest of their range is loaded.'
