-- What a refund takes is no longer held.
UPDATE wallet_buckets b
SET amount_minor = b.amount_minor - freed.amount_minor
FROM (
    SELECT workspace_id, creator_id, currency, to_timestamp(held_until_ms / 1000.0) AS held_until,
        sum(amount_minor) AS amount_minor
    FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bigint[], $5::bigint[])
        AS freed (workspace_id, creator_id, currency, held_until_ms, amount_minor)
    GROUP BY 1, 2, 3, 4
) freed
WHERE b.workspace_id = freed.workspace_id AND b.creator_id = freed.creator_id
    AND b.currency = freed.currency AND b.held_until = freed.held_until AND b.released_at IS NULL
