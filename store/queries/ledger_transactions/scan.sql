-- For an audit: what batches posted.
SELECT batch_id, id, kind, source_id, leg
FROM ledger_transactions
WHERE :batch(batch_id)
