SELECT o.event_id
FROM outcomes o
JOIN workspaces w ON w.id = o.workspace_id
WHERE w.slug = $1 AND o.kind = 'sale' AND o.status = 'posted'
ORDER BY json_array_length(o.basis -> 'touches') DESC, o.event_id
LIMIT 1
