-- In one order for everybody, so that two settlers cannot deadlock.
SELECT campaign_id, workspace_id, currency::text AS currency, funded_minor, available_minor,
    spent_minor, returned_minor, (extract(epoch FROM exhausted_at) * 1000)::bigint AS exhausted_at_ms,
    (extract(epoch FROM closed_at) * 1000)::bigint AS closed_at_ms
FROM campaign_budgets
WHERE campaign_id = ANY ($1)
ORDER BY campaign_id
FOR UPDATE
