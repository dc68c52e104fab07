INSERT INTO attribution_positions (topic, partition, emitted_to)
SELECT $1, partition, emitted_to
FROM unnest($2::integer[], $3::bigint[]) AS position (partition, emitted_to)
ORDER BY partition
ON CONFLICT (topic, partition) DO UPDATE
SET emitted_to = greatest(attribution_positions.emitted_to, excluded.emitted_to)
