-- Sessions in the making: what visitors did in an hour, in parts between which nothing
-- came for half an hour. Parts of hours that follow each other are one session where the
-- pause between them is shorter: an hour can so be counted anew by itself, whatever
-- session goes on through it. Filled as hours are rolled up; migration 0026 of Postgres
-- has all hours rolled up again for it.
CREATE TABLE IF NOT EXISTS visitor_sessions
(
    workspace_id UUID            COMMENT 'The tenant',
    visitor      FixedString(16) COMMENT 'Somebody, no robot',
    hour         DateTime('UTC') COMMENT 'When the hour began',
    begins_ms    Array(UInt32)   COMMENT 'When each part began, milliseconds since the hour did' CODEC(ZSTD(1)),
    lengths_ms   Array(UInt32)   COMMENT 'From its first event to its last' CODEC(ZSTD(1)),
    actions      Array(UInt32)   COMMENT 'Its clicks, pages and what was tracked' CODEC(ZSTD(1)),
    pages        Array(UInt32)   COMMENT 'Of these the pages' CODEC(ZSTD(1)),
    entries      Array(String)   COMMENT 'Its first page, without query and fragment; empty if it has none' CODEC(ZSTD(3)),
    exits        Array(String)   COMMENT 'Its last page' CODEC(ZSTD(3)),
    countries    Array(LowCardinality(String)) COMMENT 'The country of its first event',
    devices      Array(LowCardinality(String)) COMMENT 'The device of its first event',
    version      UInt64          COMMENT 'The latest replaces those before'
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(hour)
ORDER BY (workspace_id, visitor, hour)
-- A month that is over comes to rest in one part.
SETTINGS min_age_to_force_merge_seconds = 21600, min_age_to_force_merge_on_partition_only = 1
COMMENT 'Parts of sessions by visitor and hour. Read with FINAL, and without the hours in rollup_marks.'
