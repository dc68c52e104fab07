CREATE TABLE IF NOT EXISTS visitor_months
(
    workspace_id UUID            COMMENT 'The tenant',
    visitor      FixedString(16) COMMENT 'Somebody, no robot',
    month        Date            COMMENT 'Its first day',
    days         SimpleAggregateFunction(groupBitOr, UInt32) COMMENT 'The days of it, of the workspace''s time zone, on which they were seen: the lowest bit is the first'
)
ENGINE = AggregatingMergeTree
ORDER BY (workspace_id, month, visitor)
COMMENT 'When visitors were seen. What is said twice is said once: rows are only ever joined by OR, and erased with their visitor.'
