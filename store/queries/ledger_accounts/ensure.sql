-- Accounts come into being when they are first posted to. Another settler may
-- be doing so at this moment, and be seen by any of the keys first.
INSERT INTO ledger_accounts (id, workspace_id, kind, owner_id, currency)
SELECT id, workspace_id, kind, owner_id, currency
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::uuid[], $5::text[])
    AS new (id, workspace_id, kind, owner_id, currency)
ON CONFLICT DO NOTHING
