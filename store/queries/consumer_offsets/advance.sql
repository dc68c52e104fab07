-- Compare-and-set: moves nothing if another writer has moved it.
UPDATE consumer_offsets
SET next_offset = $4
WHERE topic = $1 AND partition = $2 AND next_offset = $3
