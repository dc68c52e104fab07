-- Entries whose transaction is not there, by its id; a few of them. All are
-- looked through before any is given: see `store::reconcile::Check::run`.
WITH orphans AS MATERIALIZED (
    SELECT e.transaction_id
    FROM ledger_entries e
    WHERE NOT EXISTS (SELECT FROM ledger_transactions t WHERE t.id = e.transaction_id)
)
SELECT DISTINCT transaction_id FROM orphans LIMIT 20
