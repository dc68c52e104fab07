-- Yesterday's stays for those who are not there yet.
DELETE FROM daily_salts WHERE day < to_timestamp($1::bigint * 86400)::date - 1
