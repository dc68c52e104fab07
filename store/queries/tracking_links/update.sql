UPDATE tracking_links
SET destination_url = $3,
    fallback_url    = $4,
    expires_at      = to_timestamp($5::bigint / 1000.0),
    click_limit     = $6,
    pass_query      = $7,
    rules           = $8,
    variants        = $9,
    leaves_exhausted = $10
WHERE workspace_id = $1 AND id = $2
RETURNING code
