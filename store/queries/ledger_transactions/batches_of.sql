SELECT id, batch_id FROM ledger_transactions WHERE id = ANY ($1)
