SELECT
    w.id,
    s.secret,
    w.address_policy,
    w.honour_opt_out,
    w.cookie_days
FROM workspaces w
JOIN webhook_secrets s ON s.workspace_id = w.id AND s.provider = $2
WHERE w.slug = $1 OR w.id::text = $1
