SELECT next_offset, open_last_offset
FROM sink_positions
WHERE sink = $1 AND topic = $2 AND partition = $3
