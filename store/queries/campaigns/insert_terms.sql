-- The first terms hold from now; later ones from a moment that no processor
-- can have passed yet ($8, milliseconds ahead), and never out of order.
INSERT INTO campaign_terms
    (campaign_id, version, valid_from, status, pay, fee_bps, window_ms, starts_at, ends_at,
     min_delay_ms, model, limits, share_bps)
SELECT
    $1,
    coalesce(max(version), 0) + 1,
    CASE
        WHEN max(version) IS NULL THEN date_trunc('milliseconds', clock_timestamp())
        ELSE greatest(
            date_trunc('milliseconds', clock_timestamp()) + $8 * interval '1 millisecond',
            max(valid_from) + interval '1 millisecond')
    END,
    $2, $3, $4, $5,
    to_timestamp($6::bigint / 1000.0),
    to_timestamp($7::bigint / 1000.0),
    $9, $10, $11, $12
FROM campaign_terms
WHERE campaign_id = $1
RETURNING version
