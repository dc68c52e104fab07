CREATE TABLE IF NOT EXISTS names
(
    workspace_id UUID                   COMMENT 'The tenant',
    kind         LowCardinality(String) COMMENT 'campaign, link or user',
    id           UUID                   COMMENT 'Its id',
    name         String                 COMMENT 'A campaign''s title, where a link leads, a user''s name as shown',
    code         String                 COMMENT 'A link''s code, a user''s name; of campaigns empty',
    version      UInt64                 COMMENT 'The last one holds'
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (workspace_id, kind, id)
COMMENT 'What campaigns, links and users are called, so that views show names beside ids. Postgres has the originals.';
