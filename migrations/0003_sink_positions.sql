-- How far each sink has loaded each partition into ClickHouse. A range is
-- opened before its insert and closed after it; after a crash exactly the open
-- range is read again and inserted under the same token.

CREATE TABLE sink_positions (
    sink             text NOT NULL,
    topic            text NOT NULL,
    partition        integer NOT NULL CHECK (partition >= 0),
    next_offset      bigint NOT NULL CHECK (next_offset >= 0),
    open_last_offset bigint,
    PRIMARY KEY (sink, topic, partition),
    CHECK (open_last_offset >= next_offset)
);
COMMENT ON COLUMN sink_positions.open_last_offset IS 'Last offset of the range whose insert may or may not have happened; NULL when none is open.';

GRANT SELECT, INSERT, UPDATE ON sink_positions TO tributary_app;
