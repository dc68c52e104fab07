-- One salt for each day, whoever asks first.
INSERT INTO daily_salts (day, salt) VALUES (to_timestamp($1::bigint * 86400)::date, $2)
ON CONFLICT (day) DO NOTHING
