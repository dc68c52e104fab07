-- Tokens out there go on being accepted for the given days.
UPDATE signing_keys
SET retired_at = now() + make_interval(days => $2)
WHERE id <> $1 AND retired_at IS NULL
