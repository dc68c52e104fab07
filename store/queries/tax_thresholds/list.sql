SELECT DISTINCT ON (form, currency, from_year) form, currency::text AS currency, from_year, amount_minor
FROM tax_thresholds
WHERE workspace_id = $1
ORDER BY form, currency, from_year, id DESC
