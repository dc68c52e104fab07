SELECT emitted_to
FROM attribution_positions
WHERE topic = $1 AND partition = $2
