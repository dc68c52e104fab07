-- By id or by slug; an id wins over a slug that looks like one.
SELECT id, slug, name, currency::text AS currency, platform_fee_bps, time_zone
FROM workspaces
WHERE id = $1 OR slug = $2
ORDER BY (id = $1) IS TRUE DESC
LIMIT 1
