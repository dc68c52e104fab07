-- Which hours of ClickHouse's roll-ups are older than what they are made of. A sink
-- marks the hours of a range in the statement that closes the range; whoever rolls up
-- takes the marks first, and clears those that nobody renewed meanwhile.
CREATE SEQUENCE rollup_versions;
COMMENT ON SEQUENCE rollup_versions IS 'Versions of rolled-up rows and of marks: what is later is larger.';
CREATE TABLE rollups (
    workspace_id uuid NOT NULL,
    source       text NOT NULL CHECK (source IN ('events', 'outcomes')),
    begun_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, source)
);
COMMENT ON TABLE rollups IS 'Whose events and outcomes are rolled up: of others nothing is, and of these what has no mark.';
CREATE TABLE rollup_marks (
    workspace_id uuid NOT NULL,
    source       text NOT NULL CHECK (source IN ('events', 'outcomes')),
    hour_ms      bigint NOT NULL CHECK (hour_ms % 3600000 = 0),
    mark         bigint NOT NULL DEFAULT nextval('rollup_versions'),
    due_at       timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, source, hour_ms)
);
COMMENT ON TABLE rollup_marks IS 'Hours in which something was loaded since they were rolled up; reports count them from the events.';
COMMENT ON COLUMN rollup_marks.hour_ms IS 'When the hour began, milliseconds since 1970.';
COMMENT ON COLUMN rollup_marks.mark IS 'Renewed whenever something is loaded; cleared only if it is still the one that was taken.';
COMMENT ON COLUMN rollup_marks.due_at IS 'When the hour may be rolled up: not before it is over.';
CREATE INDEX ON rollup_marks (due_at);
GRANT USAGE ON SEQUENCE rollup_versions TO tributary_app;
GRANT SELECT, INSERT ON rollups TO tributary_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON rollup_marks TO tributary_app;
-- Just after the hour; of one that is long over, what comes late is gathered for a while.
CREATE FUNCTION rollup_due_at(hour_ms bigint) RETURNS timestamptz LANGUAGE sql STABLE
RETURN CASE
    WHEN to_timestamp(hour_ms / 1000) > now() - interval '2 hours'
        THEN greatest(to_timestamp(hour_ms / 1000) + interval '1 hour', now()) + interval '5 seconds'
    ELSE now() + interval '30 seconds'
END;
COMMENT ON FUNCTION rollup_due_at IS 'When an hour that was just marked may be rolled up.';
-- What a range that is about to be loaded changes counts as marked until it is closed.
ALTER TABLE sink_positions
    ADD COLUMN open_workspaces uuid[] NOT NULL DEFAULT '{}',
    ADD COLUMN open_hours_ms bigint[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN sink_positions.open_workspaces IS 'Of each hour of the open range, whose it is.';
COMMENT ON COLUMN sink_positions.open_hours_ms IS 'The hours in which what the open range loads happened, milliseconds since 1970.';
