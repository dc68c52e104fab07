SELECT event_id::text AS id,
    format('gross %s, creator %s, fee %s, other %s', gross_minor, creator_minor, fee_minor, other_minor) AS detail
FROM outcomes
WHERE :batch(batch_id) AND status = 'posted' AND gross_minor <> creator_minor + fee_minor + coalesce(other_minor, 0)
