-- In force from a moment that no processor can have passed yet ($3,
-- milliseconds ahead), and after the version before.
INSERT INTO payment_terms (workspace_id, version, valid_from, rates)
SELECT
    $1,
    coalesce(max(version), 0) + 1,
    greatest(
        date_trunc('milliseconds', clock_timestamp()) + $3 * interval '1 millisecond',
        max(valid_from) + interval '1 millisecond'),
    $2
FROM payment_terms
WHERE workspace_id = $1
RETURNING version, (extract(epoch FROM valid_from) * 1000)::bigint AS valid_from_ms
