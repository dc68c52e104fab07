SELECT (extract(epoch FROM max(at)) * 1000)::bigint FROM ledger_transactions
