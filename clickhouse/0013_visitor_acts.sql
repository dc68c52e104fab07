-- What visitors did and when, a visitor's next to each other: a funnel asks for nothing
-- else, and would have to sort the events of months for it. Filled as hours are rolled
-- up; migration 0024 of Postgres has all hours rolled up again for it.
CREATE TABLE IF NOT EXISTS visitor_acts
(
    workspace_id UUID            COMMENT 'The tenant',
    visitor      FixedString(16) COMMENT 'Somebody, no robot',
    month        Date            COMMENT 'Its first day, UTC',
    clicks       SimpleAggregateFunction(groupUniqArrayArray, Array(UInt32)) COMMENT 'When they clicked, milliseconds since the month began',
    pages        SimpleAggregateFunction(groupUniqArrayArray, Array(UInt32)) COMMENT 'When they saw pages',
    tracks       SimpleAggregateFunction(groupUniqArrayArray, Array(UInt32)) COMMENT 'When they did what is tracked'
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(month)
ORDER BY (workspace_id, visitor, month)
-- A month that is over comes to rest in one part.
SETTINGS min_age_to_force_merge_seconds = 21600, min_age_to_force_merge_on_partition_only = 1
COMMENT 'When visitors did what. What is said twice is said once: rows are only ever united, and erased with their visitor.'
