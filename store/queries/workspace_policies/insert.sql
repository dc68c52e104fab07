-- The first policy holds from the beginning; a later one from the next quarter
-- of an hour that no settler can have passed.
INSERT INTO workspace_policies
    (workspace_id, version, valid_from, hold_days, minimum_withdrawal_minor, required_documents)
SELECT
    $1,
    coalesce(max(version), 0) + 1,
    CASE
        WHEN max(version) IS NULL THEN date_bin('15 minutes', clock_timestamp(), 'epoch')
        ELSE greatest(
            date_bin('15 minutes', clock_timestamp() + interval '1 minute', 'epoch') + interval '15 minutes',
            max(valid_from) + interval '15 minutes')
    END,
    $2, $3, $4
FROM workspace_policies
WHERE workspace_id = $1
RETURNING version, (extract(epoch FROM valid_from) * 1000)::bigint AS valid_from_ms
