-- Every event the collector took, robots and repeats included.
CREATE TABLE IF NOT EXISTS events
(
    event_id      UUID                     COMMENT 'Unique; for a click the click id',
    workspace_id  UUID                     COMMENT 'The tenant',
    kind          LowCardinality(String)   COMMENT 'click, page, track, identify, conversion or sale',
    at            DateTime64(3, 'UTC')     COMMENT 'When it happened, by the event',
    received_at   DateTime64(3, 'UTC')     COMMENT 'When the collector took it',
    visitor       FixedString(16)          COMMENT 'Who did it, within the workspace',
    link_id       UUID                     COMMENT 'Click: the link',
    campaign_id   UUID                     COMMENT 'Click: the campaign',
    creator_id    UUID                     COMMENT 'Click: who earns by it',
    supporter_id  UUID                     COMMENT 'Click: who shared it',
    click_id      UUID                     COMMENT 'Conversion, sale: the click of its token',
    name          LowCardinality(String)   COMMENT 'Track: what was done; conversion: the goal',
    url           String                   COMMENT 'Page: its address' CODEC(ZSTD(3)),
    title         String                   COMMENT 'Page: its title' CODEC(ZSTD(3)),
    user_id       String                   COMMENT 'Identify: the user' CODEC(ZSTD(3)),
    order_id      String                   COMMENT 'Sale, conversion: the order''s number' CODEC(ZSTD(3)),
    value_minor   Int64                    COMMENT 'Sale, conversion: its worth in minor units',
    currency      LowCardinality(String)   COMMENT 'Their ISO 4217 code',
    referrer      String                   COMMENT 'Where the client came from' CODEC(ZSTD(3)),
    user_agent    LowCardinality(String)   COMMENT 'The client''s user agent',
    network       LowCardinality(String)   COMMENT 'The client''s network, v4 /24 or v6 /48',
    country       LowCardinality(String)   COMMENT 'ISO 3166 code, by the GeoIP file',
    city          LowCardinality(String)   COMMENT 'By the GeoIP file',
    bot           LowCardinality(String)   COMMENT 'Why it does not count as human; empty for people',
    properties    String                   COMMENT 'Anything else, as JSON' CODEC(ZSTD(3)),
    payload_hash  UInt64                   COMMENT 'First 8 bytes of the SHA-256 of what the client said',
    partition     UInt16                   COMMENT 'Kafka partition it was loaded from',
    `offset`      UInt64                   COMMENT 'Kafka offset it was loaded from' CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(at)
-- The identity, and nothing but: a client that repeats an event without saying
-- when it happened repeats it at another time. FINAL then gives one row for it.
ORDER BY (workspace_id, event_id, payload_hash)
-- A range that is inserted again under the same token is dropped.
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Every event the collector took. Billed or ranked figures count distinct event_id.';
