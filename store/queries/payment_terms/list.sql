SELECT workspace_id, version, (extract(epoch FROM valid_from) * 1000)::bigint AS valid_from_ms, rates
FROM payment_terms
WHERE $1::uuid IS NULL OR workspace_id = $1
ORDER BY workspace_id, version
