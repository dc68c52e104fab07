CREATE TABLE IF NOT EXISTS social_metrics
(
    workspace_id UUID                   COMMENT 'The tenant',
    account_id   UUID                   COMMENT 'The account',
    post_id      String                 COMMENT 'The platform''s id of the post; empty for the account itself',
    captured_at  DateTime64(3, 'UTC')   COMMENT 'As of when: each figure is a total from the beginning up to then' CODEC(Delta, ZSTD),
    creator_id   UUID                   COMMENT 'Whose account it is',
    platform     LowCardinality(String) COMMENT 'youtube, instagram, tiktok, x, twitch, facebook, linkedin or other',
    published_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When the post was published, where that is known',
    followers    Nullable(UInt64)       COMMENT 'Followers or subscribers; null is not known, as everywhere here',
    following    Nullable(UInt64)       COMMENT 'Whom the account follows',
    posts        Nullable(UInt64)       COMMENT 'Posts or videos',
    views        Nullable(UInt64)       COMMENT 'Views of videos',
    impressions  Nullable(UInt64)       COMMENT 'How often posts were shown',
    reach        Nullable(UInt64)       COMMENT 'To how many people',
    likes        Nullable(UInt64)       COMMENT 'Likes',
    comments     Nullable(UInt64)       COMMENT 'Comments',
    shares       Nullable(UInt64)       COMMENT 'Shares',
    clicks       Nullable(UInt64)       COMMENT 'Clicks that the platform counted',
    saves        Nullable(UInt64)       COMMENT 'How often posts were saved',
    version      UInt64                 COMMENT 'Of several readings of one moment the last one holds'
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(captured_at)
ORDER BY (workspace_id, account_id, post_id, captured_at)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'What social accounts and their posts had, each time they were read.';
