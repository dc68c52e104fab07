INSERT INTO payout_items (payout_id, withdrawal_id, amount_minor, account)
SELECT $1, withdrawal_id, amount_minor, account
FROM unnest($2::uuid[], $3::bigint[], $4::jsonb[]) AS new (withdrawal_id, amount_minor, account)
