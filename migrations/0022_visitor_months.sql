-- ClickHouse has a table more that is made of rolled-up hours: all hours are rolled up
-- again. Until then reports count from the events.
DELETE FROM rollups WHERE source = 'events';
