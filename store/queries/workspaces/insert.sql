INSERT INTO workspaces (id, slug, name, currency, platform_fee_bps, time_zone)
VALUES ($1, $2, $3, $4, $5, $6)
