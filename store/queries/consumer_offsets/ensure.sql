INSERT INTO consumer_offsets (topic, partition, next_offset)
VALUES ($1, $2, 0)
ON CONFLICT (topic, partition) DO NOTHING
