INSERT INTO sink_positions (sink, topic, partition, next_offset)
VALUES ($1, $2, $3, 0)
ON CONFLICT (sink, topic, partition) DO NOTHING
