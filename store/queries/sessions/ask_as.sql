SELECT set_config('tributary.workspace', $1::uuid::text, true),
    set_config('tributary.user', $2::uuid::text, true),
    set_config('tributary.role', $3, true),
    set_config('role', 'tributary_reader', true)
