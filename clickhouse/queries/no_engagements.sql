-- Nobody's engagement, for boards that do not show it: to look for it takes tens of
-- milliseconds.
engagements AS
(
    SELECT toUUID('00000000-0000-0000-0000-000000000000') AS creator_id, CAST(NULL AS Nullable(Int64)) AS engagement
    WHERE false
)
