WITH ranges AS (
    SELECT topic, partition, first_offset, last_offset,
        lag(last_offset, 1, -1::bigint) OVER log AS previous_last,
        lead(first_offset) OVER log AS next_first
    FROM batches
    WINDOW log AS (PARTITION BY topic, partition ORDER BY first_offset)
)
SELECT format('%s/%s@%s', r.topic, r.partition, r.first_offset) AS id,
    format('range %s-%s follows %s; settled up to %s', r.first_offset, r.last_offset,
        r.previous_last, o.next_offset) AS detail
FROM ranges r
LEFT JOIN consumer_offsets o ON o.topic = r.topic AND o.partition = r.partition
WHERE r.first_offset <> r.previous_last + 1
    OR (r.next_first IS NULL AND o.next_offset IS DISTINCT FROM r.last_offset + 1)
