-- Those of these campaigns that have, or once had, limits.
SELECT campaign_id
FROM campaign_spending
WHERE campaign_id = ANY ($1) AND creator_id IS NULL AND day IS NULL
