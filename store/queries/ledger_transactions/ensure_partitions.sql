SELECT ensure_ledger_partitions(clock_timestamp() + $1 * interval '1 month')
