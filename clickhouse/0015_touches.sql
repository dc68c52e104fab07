-- The clicks behind each conversion and sale, as attribution looked at them.
CREATE TABLE IF NOT EXISTS touches
(
    workspace_id UUID                   COMMENT 'The tenant',
    at           DateTime64(3, 'UTC')   COMMENT 'When the action happened, by its event',
    event_id     UUID                   COMMENT 'The action: its event',
    kind         LowCardinality(String) COMMENT 'conversion or sale',
    touched_at   DateTime64(3, 'UTC')   COMMENT 'When the click happened',
    click_id     UUID                   COMMENT 'The click',
    link_id      UUID                   COMMENT 'Its link',
    campaign_id  UUID                   COMMENT 'Its campaign',
    creator_id   UUID                   COMMENT 'Who earns by it',
    model        LowCardinality(String) COMMENT 'How the action was shared out',
    share        Float64                COMMENT 'Its part of the action by the model, 0 to 1, whatever settlement made of it then: what was paid stands in outcomes'
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (workspace_id, at, event_id, touched_at, click_id)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'The clicks behind each conversion and sale, credited or not. An action of several legs says the same for each of them: read with FINAL.'
