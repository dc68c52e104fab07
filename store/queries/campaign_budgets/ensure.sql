-- A budget that is not there cannot be locked: two settlers of a campaign's
-- first money would not see each other's.
INSERT INTO campaign_budgets (campaign_id, workspace_id, currency, funded_minor, available_minor,
    spent_minor, returned_minor)
SELECT campaign_id, workspace_id, currency, 0, 0, 0, 0
FROM unnest($1::uuid[], $2::uuid[], $3::text[]) AS new (campaign_id, workspace_id, currency)
ORDER BY campaign_id
ON CONFLICT (campaign_id) DO NOTHING
