-- The open range has been loaded; no row if another loader closed it.
UPDATE sink_positions
SET next_offset = open_last_offset + 1, open_last_offset = NULL
WHERE sink = $1 AND topic = $2 AND partition = $3 AND next_offset = $4 AND open_last_offset = $5
