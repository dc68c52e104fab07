SELECT line, transaction_id, kind, (extract(epoch FROM at) * 1000)::bigint AS at_ms, amount_minor, detail
FROM statement_lines
WHERE statement_id = $1
ORDER BY line
