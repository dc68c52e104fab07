SELECT
    w.id,
    k.is_public,
    w.address_policy,
    w.honour_opt_out,
    w.cookie_days
FROM api_keys k
JOIN workspaces w ON w.id = k.workspace_id
WHERE k.key_hash = $1 AND k.revoked_at IS NULL
