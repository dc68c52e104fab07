-- Events in the order in which they are asked for: by workspace, kind and hour. Until
-- now they lay in the order of their ids, and any question about a day read all.
CREATE TABLE IF NOT EXISTS events_by_hour AS events
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(at)
-- The id is in it, so that FINAL gives one row for an event that was loaded twice.
ORDER BY (workspace_id, kind, toStartOfHour(at), link_id, visitor, event_id, payload_hash)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Every event the collector took, robots and repeats included. Billed or ranked figures count distinct event_id.';

-- From here on loaders write into the new one; what was there is copied then.
-- if: SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = 'events' AND position(sorting_key, 'toStartOfHour') = 0
EXCHANGE TABLES events AND events_by_hour;

INSERT INTO events SELECT * FROM events_by_hour SETTINGS max_partitions_per_insert_block = 0;

DROP TABLE IF EXISTS events_by_hour;
