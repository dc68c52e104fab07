-- Sessions in the making: what visitors did in an hour, in parts between which nothing
-- came for half an hour. Parts of hours that follow each other are one session where the
-- pause between them is shorter: an hour can so be counted anew by itself, whatever
-- session goes on through it. Filled as hours are rolled up; migration 0026 of Postgres
-- has all hours rolled up again for it.
CREATE TABLE IF NOT EXISTS visitor_sessions
(
    workspace_id UUID            COMMENT 'The tenant',
    visitor      FixedString(16) COMMENT 'Somebody, no robot' CODEC(ZSTD(1)),
    hour         DateTime('UTC') COMMENT 'When the hour began' CODEC(Delta, ZSTD(1)),
    part         Nested
    (
        begin_ms  UInt32,
        length_ms UInt32,
        actions   UInt32,
        pages     UInt32,
        entry     String,
        exit      String,
        country   LowCardinality(String),
        device    LowCardinality(String)
    ) COMMENT 'Each part: milliseconds from the hour''s begin to its first event, and from this to its last; its clicks, pages and what was tracked, and of these the pages; its first and its last page, without query and fragment, empty if it has none; country and device of its first event' CODEC(ZSTD(1)),
    version      UInt64          COMMENT 'The latest replaces those before' CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(hour)
ORDER BY (workspace_id, visitor, hour)
-- A month that is over comes to rest in one part.
SETTINGS min_age_to_force_merge_seconds = 21600, min_age_to_force_merge_on_partition_only = 1
COMMENT 'Parts of sessions by visitor and hour. Read with FINAL, and without the hours in rollup_marks.'
