-- What visitors did in some hours, in the parts of sessions.
SELECT
    {workspace:UUID} AS workspace_id,
    visitor,
    hour,
    `part.begin_ms`,
    `part.length_ms`,
    `part.actions`,
    `part.pages`,
    `part.entry`,
    `part.exit`,
    `part.country`,
    `part.device`,
    {version:UInt64} AS version
FROM counted_sessions
