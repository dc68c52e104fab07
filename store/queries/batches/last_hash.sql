SELECT hash
FROM batches
WHERE topic = $1 AND partition = $2
ORDER BY last_offset DESC
LIMIT 1
