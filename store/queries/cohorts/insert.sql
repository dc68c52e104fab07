INSERT INTO cohorts (id, workspace_id, slug, name) VALUES ($1, $2, $3, $4)
