-- In force from a moment that no processor can have passed yet ($4,
-- milliseconds ahead), and after the seller's tier before.
INSERT INTO seller_tiers (workspace_id, seller_id, tier, valid_from)
SELECT
    $1,
    u.id,
    $3,
    greatest(
        date_trunc('milliseconds', clock_timestamp()) + $4 * interval '1 millisecond',
        (SELECT max(valid_from) + interval '1 millisecond' FROM seller_tiers WHERE seller_id = u.id))
FROM users u
WHERE u.id = $2 AND u.workspace_id = $1
RETURNING (extract(epoch FROM valid_from) * 1000)::bigint
