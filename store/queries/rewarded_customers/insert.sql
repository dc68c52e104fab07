INSERT INTO rewarded_customers (campaign_id, customer, event_id, batch_id)
SELECT campaign_id, customer, event_id, $1
FROM unnest($2::uuid[], $3::uuid[], $4::uuid[]) AS new (campaign_id, customer, event_id)
