-- With their members; one of them by its id or slug, first by its id.
SELECT c.id, c.slug, c.name,
    coalesce(array_agg(m.creator_id ORDER BY m.creator_id) FILTER (WHERE m.creator_id IS NOT NULL), '{}')
        AS creators
FROM cohorts c
LEFT JOIN cohort_members m ON m.cohort_id = c.id
WHERE c.workspace_id = $1 AND ($2::text IS NULL OR c.slug = $2 OR c.id::text = $2)
GROUP BY c.id
ORDER BY c.id::text = $2 DESC NULLS LAST, c.slug
