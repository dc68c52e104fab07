INSERT INTO ledger_entries (transaction_id, line, account_id, amount_minor, currency)
SELECT transaction_id, line, account_id, amount_minor, currency
FROM unnest($1::uuid[], $2::smallint[], $3::uuid[], $4::bigint[], $5::text[])
    AS new (transaction_id, line, account_id, amount_minor, currency)
