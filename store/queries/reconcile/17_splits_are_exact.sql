SELECT event_id::text AS id,
    format('gross %s, creator %s, fee %s', gross_minor, creator_minor, fee_minor) AS detail
FROM outcomes
WHERE status = 'posted' AND gross_minor <> creator_minor + fee_minor
LIMIT 20
