-- Whether both are there and of the workspace; who is in it stays in it.
WITH found AS (
    SELECT c.id AS cohort_id, u.id AS creator_id
    FROM cohorts c
    JOIN users u ON u.workspace_id = c.workspace_id AND u.id = $3
    JOIN creator_profiles p ON p.user_id = u.id
    WHERE c.workspace_id = $1 AND c.id = $2
), added AS (
    INSERT INTO cohort_members (cohort_id, creator_id)
    SELECT cohort_id, creator_id FROM found
    ON CONFLICT DO NOTHING
)
SELECT EXISTS (SELECT FROM found)
