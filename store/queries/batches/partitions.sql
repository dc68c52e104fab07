SELECT DISTINCT partition
FROM batches
WHERE topic = $1
ORDER BY partition
