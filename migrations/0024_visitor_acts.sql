-- ClickHouse's visitor_acts begins empty: whatever has events is rolled up once more, and
-- counted from the events until then.
DELETE FROM rollups WHERE source = 'events';
