-- Which of these are no accounts of the workspace.
SELECT given.id
FROM (SELECT DISTINCT unnest($2::uuid[]) AS id) given
WHERE NOT EXISTS (
    SELECT FROM social_accounts a WHERE a.id = given.id AND a.workspace_id = $1 AND a.deleted_at IS NULL)
