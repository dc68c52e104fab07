-- For hashing: all.
SELECT event_id, leg, status, reason, campaign_id, creator_id, gross_minor, creator_minor,
    fee_minor, currency::text AS currency, payload_hash, original_event_id, original_leg
FROM outcomes
