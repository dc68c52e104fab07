SELECT status, reason, count(*) AS count
FROM outcomes
WHERE campaign_id = $1
GROUP BY status, reason
ORDER BY status, reason
