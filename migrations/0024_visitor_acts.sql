-- ClickHouse's visitor_acts begins empty: whatever there is is rolled up once more, and
-- counted from events and outcomes until then.
DELETE FROM rollups;
