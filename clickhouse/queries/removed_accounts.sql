-- Social accounts that were removed, and when, in milliseconds since 1970.
CAST(? AS Array(String)) AS removed,
CAST(? AS Array(Int64)) AS removed_ms
