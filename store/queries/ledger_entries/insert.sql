-- Arrays are taken apart side by side: as a FROM clause each would be stored
-- first, which costs half as much again.
INSERT INTO ledger_entries (transaction_id, line, account_id, amount_minor, currency)
SELECT unnest($1::uuid[]), unnest($2::smallint[]), unnest($3::uuid[]), unnest($4::bigint[]), unnest($5::text[])
