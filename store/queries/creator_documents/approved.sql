SELECT kind
FROM (
    SELECT DISTINCT ON (kind) kind, status
    FROM creator_documents
    WHERE creator_id = $1
    ORDER BY kind, id DESC
) latest
WHERE status = 'approved'
ORDER BY kind
