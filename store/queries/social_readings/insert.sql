-- Keeps readings for the loader, and what was last known of each account in its header.
WITH given AS (
    SELECT account_id, post_id, to_timestamp(published_ms / 1000.0) AS published_at,
        to_timestamp(captured_ms / 1000.0) AS captured_at, figures, number
    FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::bigint[], $5::jsonb[])
        WITH ORDINALITY AS reading (account_id, post_id, published_ms, captured_ms, figures, number)
),
-- Of each figure of an account itself, the last.
latest AS (
    SELECT account_id, max(captured_at) AS captured_at,
        jsonb_object_agg(figure.key, figure.value ORDER BY captured_at, number) AS figures
    FROM given, jsonb_each(figures) AS figure
    WHERE post_id = ''
    GROUP BY account_id
),
header AS (
    UPDATE social_accounts a
    SET captured_at = greatest(a.captured_at, l.captured_at),
        figures = CASE
            WHEN a.captured_at > l.captured_at THEN l.figures || a.figures
            ELSE coalesce(a.figures, '{}') || l.figures
        END
    FROM latest l
    WHERE a.id = l.account_id
)
INSERT INTO social_readings (workspace_id, account_id, post_id, published_at, captured_at, figures)
SELECT a.workspace_id, g.account_id, g.post_id, g.published_at, g.captured_at, g.figures
FROM given g
JOIN social_accounts a ON a.id = g.account_id
ORDER BY g.number
