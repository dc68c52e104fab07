-- The caller has the campaigns' budgets locked.
INSERT INTO campaign_spending AS s (campaign_id, creator_id, day, spent_minor)
SELECT campaign_id, creator_id, day, spent_minor
FROM unnest($1::uuid[], $2::uuid[], $3::integer[], $4::bigint[])
    AS sums (campaign_id, creator_id, day, spent_minor)
ON CONFLICT (campaign_id, creator_id, day) DO UPDATE SET spent_minor = excluded.spent_minor
