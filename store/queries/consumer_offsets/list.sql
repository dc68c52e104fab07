SELECT topic, partition, next_offset
FROM consumer_offsets
ORDER BY topic, partition
