-- A refund that looks for its sale and a settler that posts it must not pass
-- each other unseen: refunds take the lock alone, sales share it. In sorted
-- order, for everybody.
SELECT CASE
    WHEN is_sought THEN pg_advisory_xact_lock(7301, slot)::text
    ELSE pg_advisory_xact_lock_shared(7301, slot)::text
END
FROM unnest($1::integer[], $2::boolean[]) AS locks (slot, is_sought)
