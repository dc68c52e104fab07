SELECT salt FROM daily_salts WHERE day = to_timestamp($1::bigint * 86400)::date
