-- A workspace's statements, newest first: one, one creator's, or one creator's of
-- a period.
SELECT s.id, s.creator_id, u.display_name, u.email, s.currency::text AS currency, s.sequence,
    (extract(epoch FROM lag.period_end) * 1000)::bigint AS period_start_ms,
    (extract(epoch FROM s.period_end) * 1000)::bigint AS period_end_ms,
    s.opening_minor, s.closing_minor, s.issued_by,
    (extract(epoch FROM s.issued_at) * 1000)::bigint AS issued_at_ms
FROM statements s
JOIN users u ON u.id = s.creator_id
LEFT JOIN statements lag
    ON lag.creator_id = s.creator_id AND lag.currency = s.currency AND lag.sequence = s.sequence - 1
WHERE s.workspace_id = $1
    AND ($2::uuid IS NULL OR s.id = $2)
    AND ($3::uuid IS NULL OR s.creator_id = $3)
    AND ($4::bigint IS NULL OR s.period_end = to_timestamp($4::bigint / 1000.0))
ORDER BY s.period_end DESC, s.id DESC
LIMIT $5
