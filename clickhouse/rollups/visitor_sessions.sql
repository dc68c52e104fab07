-- What visitors did in some hours, in the parts of sessions.
SELECT
    {workspace:UUID} AS workspace_id,
    visitor,
    hour,
    begins_ms,
    lengths_ms,
    actions,
    pages,
    entries,
    exits,
    countries,
    devices,
    {version:UInt64} AS version
FROM counted_sessions
