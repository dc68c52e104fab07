INSERT INTO tax_thresholds (workspace_id, form, currency, from_year, amount_minor, actor)
VALUES ($1, $2, $3, $4, $5, $6)
