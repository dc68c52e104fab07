SELECT s.campaign_id, s.creator_id, s.day, s.spent_minor
FROM unnest($1::uuid[], $2::uuid[], $3::integer[]) AS asked (campaign_id, creator_id, day)
JOIN campaign_spending s
    ON s.campaign_id = asked.campaign_id AND s.creator_id IS NOT DISTINCT FROM asked.creator_id
    AND s.day IS NOT DISTINCT FROM asked.day
