-- ClickHouse's visitor_sessions begins empty: whatever there is is rolled up once more, and
-- counted from events and outcomes until then.
DELETE FROM rollups;
