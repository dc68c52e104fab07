SELECT sink, topic, partition, next_offset, open_last_offset
FROM sink_positions
ORDER BY sink, topic, partition
