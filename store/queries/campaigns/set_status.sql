-- The latest terms, with another status, from a moment that no processor can
-- have passed yet ($3, milliseconds ahead).
INSERT INTO campaign_terms
    (campaign_id, version, valid_from, status, pay, fee_bps, window_ms, starts_at, ends_at,
     min_delay_ms, model, limits, share_bps)
SELECT campaign_id, version + 1,
    greatest(
        date_trunc('milliseconds', clock_timestamp()) + $3 * interval '1 millisecond',
        valid_from + interval '1 millisecond'),
    $2, pay, fee_bps, window_ms, starts_at, ends_at, min_delay_ms, model, limits, share_bps
FROM campaign_terms
WHERE campaign_id = $1
ORDER BY version DESC
LIMIT 1
RETURNING version
