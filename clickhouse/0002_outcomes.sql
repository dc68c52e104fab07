-- What settlement made of each action, copied from the books.
CREATE TABLE IF NOT EXISTS outcomes
(
    event_id       UUID                   COMMENT 'The action''s event',
    leg            UInt16                 COMMENT 'Which share of it',
    batch_id       Int64                  COMMENT 'The settlement batch',
    workspace_id   UUID                   COMMENT 'The tenant',
    kind           LowCardinality(String) COMMENT 'click, conversion, sale or refund',
    status         LowCardinality(String) COMMENT 'posted, rejected_budget, rejected_rule or nonpayable',
    reason         LowCardinality(String) COMMENT 'Why it was not paid; empty if posted',
    campaign_id    UUID                   COMMENT 'The campaign it is attributed to',
    creator_id     UUID                   COMMENT 'The creator it is attributed to',
    link_id        UUID                   COMMENT 'The link of the deciding click',
    click_id       UUID                   COMMENT 'The deciding click',
    visitor        FixedString(16)        COMMENT 'Who acted',
    at             DateTime64(3, 'UTC')   COMMENT 'The event''s own time',
    value_minor    Int64                  COMMENT 'What it is worth to the business, minor units; of a refund, below 0',
    value_currency LowCardinality(String) COMMENT 'Their ISO 4217 code',
    gross_minor    Int64                  COMMENT 'Paid out of escrow; below 0: back into it; 0 unless posted',
    creator_minor  Int64                  COMMENT 'To the creator',
    fee_minor      Int64                  COMMENT 'To the platform',
    currency       LowCardinality(String) COMMENT 'The payout''s ISO 4217 code'
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (workspace_id, kind, at, event_id, leg)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'The one final answer to each leg of each action, as in the books.';
