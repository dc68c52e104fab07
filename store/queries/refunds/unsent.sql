SELECT refund, campaign_id
FROM refunds
WHERE resolution IS NOT NULL AND sent_at IS NULL
ORDER BY resolution
LIMIT $1
