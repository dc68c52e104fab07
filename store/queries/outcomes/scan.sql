-- For an audit: what batches decided.
SELECT batch_id, event_id, leg, status, reason, campaign_id, creator_id, gross_minor, creator_minor,
    fee_minor, currency, payload_hash, original_event_id, original_leg, transaction_id,
    other_minor
FROM outcomes
WHERE :batch(batch_id)
