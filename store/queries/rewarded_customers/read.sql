SELECT r.campaign_id, r.customer, r.event_id
FROM unnest($1::uuid[], $2::uuid[]) AS asked (campaign_id, customer)
JOIN rewarded_customers r ON r.campaign_id = asked.campaign_id AND r.customer = asked.customer
