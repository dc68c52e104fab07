SELECT id, slug, name, currency::text AS currency, platform_fee_bps, time_zone
FROM workspaces
ORDER BY slug
