-- Keeps readings for the loader, and the last of each account itself in its header.
WITH given AS (
    SELECT account_id, post_id, to_timestamp(published_ms / 1000.0) AS published_at,
        to_timestamp(captured_ms / 1000.0) AS captured_at, figures, number
    FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::bigint[], $5::jsonb[])
        WITH ORDINALITY AS reading (account_id, post_id, published_ms, captured_ms, figures, number)
),
latest AS (
    SELECT DISTINCT ON (account_id) account_id, captured_at, figures
    FROM given
    WHERE post_id = ''
    ORDER BY account_id, captured_at DESC, number DESC
),
header AS (
    UPDATE social_accounts a
    SET captured_at = l.captured_at, figures = l.figures
    FROM latest l
    WHERE a.id = l.account_id AND (a.captured_at IS NULL OR a.captured_at <= l.captured_at)
)
INSERT INTO social_readings (workspace_id, account_id, post_id, published_at, captured_at, figures)
SELECT a.workspace_id, g.account_id, g.post_id, g.published_at, g.captured_at, g.figures
FROM given g
JOIN social_accounts a ON a.id = g.account_id
ORDER BY g.number
