-- ClickHouse's visitor_sessions begins empty: whatever there is is rolled up once more, and
-- counted from events and outcomes until then. A sink of before that still runs would begin
-- at once, and leave the new tables out: what it begins is begun for none of them.
DELETE FROM rollups;
ALTER TABLE rollups ADD COLUMN made_for integer NOT NULL DEFAULT 0;
COMMENT ON COLUMN rollups.made_for IS 'Which tables there were in ClickHouse when it was begun: the number of the last migration that added any.';
GRANT UPDATE (made_for) ON rollups TO tributary_app;
