-- A policy holds from the next quarter of an hour that no settler can have
-- passed; where nothing was earned yet, from this one.
INSERT INTO workspace_policies
    (workspace_id, version, valid_from, hold_days, minimum_withdrawal_minor, required_documents)
SELECT
    $1,
    coalesce(max(version), 0) + 1,
    CASE
        WHEN max(version) IS NULL
            AND NOT EXISTS (SELECT FROM wallet_buckets WHERE workspace_id = $1)
            THEN date_bin('15 minutes', clock_timestamp(), 'epoch')
        ELSE greatest(
            date_bin('15 minutes', clock_timestamp() + interval '1 minute', 'epoch') + interval '15 minutes',
            max(valid_from) + interval '15 minutes')
    END,
    $2, $3, $4
FROM workspace_policies
WHERE workspace_id = $1
RETURNING version, (extract(epoch FROM valid_from) * 1000)::bigint AS valid_from_ms
