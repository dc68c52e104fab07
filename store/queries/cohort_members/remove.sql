DELETE FROM cohort_members m
USING cohorts c
WHERE c.id = m.cohort_id AND c.workspace_id = $1 AND m.cohort_id = $2 AND m.creator_id = $3
