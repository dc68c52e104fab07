-- How long a workspace keeps single events. Roll-ups, outcomes and the books stay.
ALTER TABLE workspaces
    -- Visitors of a month are known by the 32 days before each hour, and some events come late.
    ADD COLUMN retention_days integer CHECK (retention_days BETWEEN 65 AND 36500);
COMMENT ON COLUMN workspaces.retention_days IS 'Single events are deleted from ClickHouse after so many days; never, where null.';
GRANT UPDATE (retention_days) ON workspaces TO tributary_app;
CREATE TABLE expired_events (
    workspace_id      uuid PRIMARY KEY REFERENCES workspaces (id),
    before_ms         bigint NOT NULL CHECK (before_ms >= 0 AND before_ms % 86400000 = 0),
    named_at          timestamptz NOT NULL DEFAULT now(),
    deleted_before_ms bigint NOT NULL DEFAULT 0 CHECK (deleted_before_ms <= before_ms)
);
COMMENT ON TABLE expired_events IS 'Up to when the single events of workspaces are gone. A moment is named here first, and nobody asks for what was before it any more; deleted is later than that.';
COMMENT ON COLUMN expired_events.before_ms IS 'The beginning of a day (UTC), milliseconds since 1970. It moves back only where nothing is deleted yet.';
COMMENT ON COLUMN expired_events.named_at IS 'When before_ms was moved to where it is.';
COMMENT ON COLUMN expired_events.deleted_before_ms IS 'Up to when deletion is done.';
GRANT SELECT, INSERT ON expired_events TO tributary_app;
GRANT UPDATE (before_ms, named_at, deleted_before_ms) ON expired_events TO tributary_app;
