-- One in thirteen of people's clicks earned something, a third of these by a sale.
INSERT INTO outcomes (event_id, leg, batch_id, workspace_id, kind, status, campaign_id, creator_id, link_id, click_id,
    visitor, at, value_minor, value_currency, gross_minor, creator_minor, currency)
SELECT generateUUIDv4(1), 0, 1, workspace_id, if(cityHash64(event_id) % 3 = 0, 'sale', 'click'),
    if(cityHash64(event_id, 1) % 10 = 0, 'rejected_budget', 'posted'), campaign_id, creator_id, link_id, event_id,
    visitor, at, cityHash64(event_id, 2) % 10000, 'EUR', 100, 90, 'EUR'
FROM events
WHERE kind = 'click' AND bot = '' AND cityHash64(event_id) % 13 = 0
