-- How many wait for their sale, and how many for Kafka.
SELECT count(*) FILTER (WHERE resolved_at IS NULL),
    count(*) FILTER (WHERE resolved_at IS NOT NULL AND sent_at IS NULL)
FROM refunds
WHERE sent_at IS NULL
