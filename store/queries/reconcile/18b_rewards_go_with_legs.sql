-- A reward for sharing is for a leg that was paid, and the share of it that it
-- says, halves up.
SELECT r.event_id::text AS id,
    format('a reward of %s at %s bps for leg %s, which paid %s', r.gross_minor, r.bps, r.of_leg, o.gross_minor) AS detail
FROM (
    SELECT event_id, gross_minor, (basis -> 'sharing' ->> 'of_leg')::smallint AS of_leg,
        (basis -> 'sharing' ->> 'bps')::integer AS bps
    FROM outcomes
    WHERE :batch(batch_id) AND status = 'posted'
        -- Told from the text: reading all of them as JSON takes three times as long.
        AND strpos(basis::text, '"sharing"') > 0
) r
LEFT JOIN outcomes o ON o.event_id = r.event_id AND o.leg = r.of_leg AND o.status = 'posted'
WHERE r.bps IS NOT NULL
    AND r.gross_minor IS DISTINCT FROM (o.gross_minor::numeric * r.bps + 5000)::bigint / 10000
