-- A payout is what its items add up to, and they their withdrawals, none of which
-- is in two payouts; every file that was made of it says the same; an approved
-- one's withdrawals are on their way or through.
WITH last AS (
    SELECT DISTINCT ON (payout_id) payout_id, status FROM payout_states ORDER BY payout_id, sequence DESC
), items AS (
    SELECT i.payout_id, count(*) AS items, sum(i.amount_minor) AS minor, sum(w.amount_minor) AS asked_minor,
        count(*) FILTER (WHERE s.status IN ('requested', 'cancelled')) AS undecided
    FROM payout_items i
    JOIN withdrawals w ON w.id = i.withdrawal_id
    JOIN LATERAL (
        SELECT status FROM withdrawal_states s WHERE s.withdrawal_id = w.id ORDER BY sequence DESC LIMIT 1
    ) s ON true
    GROUP BY i.payout_id
)
SELECT p.id::text AS id,
    format('%s: %s withdrawals of %s; items %s of %s, asked for %s, %s undecided', l.status, p.item_count,
        p.total_minor, i.items, i.minor, i.asked_minor, i.undecided) AS detail
FROM payouts p
LEFT JOIN last l ON l.payout_id = p.id
LEFT JOIN items i ON i.payout_id = p.id
WHERE l.status IS NULL OR p.item_count <> coalesce(i.items, 0) OR p.total_minor <> coalesce(i.minor, 0)
    OR p.total_minor <> coalesce(i.asked_minor, 0)
    OR (l.status IN ('approved', 'sent') AND i.undecided > 0)
UNION ALL
SELECT p.id::text, format('a file of %s payments of %s, the payout %s of %s', f.item_count, f.total_minor,
    p.item_count, p.total_minor)
FROM payout_files f
JOIN payouts p ON p.id = f.payout_id
WHERE f.item_count <> p.item_count OR f.total_minor <> p.total_minor
UNION ALL
SELECT i.withdrawal_id::text, format('in %s payouts', count(*))
FROM payout_items i
JOIN last l ON l.payout_id = i.payout_id AND l.status <> 'cancelled'
GROUP BY i.withdrawal_id
HAVING count(*) > 1
