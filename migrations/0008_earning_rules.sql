-- What an action pays: the same each time, or a share of the order or its
-- articles.
ALTER TABLE campaign_terms ADD COLUMN pay jsonb;
ALTER TABLE campaign_terms DISABLE TRIGGER append_only;
UPDATE campaign_terms SET pay = jsonb_build_object('kind', 'fixed', 'amount_minor', payout_minor);
ALTER TABLE campaign_terms ENABLE TRIGGER append_only;
ALTER TABLE campaign_terms
    ALTER COLUMN pay SET NOT NULL,
    ADD CHECK (pay ->> 'kind' IN ('fixed', 'percent_of_order', 'percent_of_items')),
    DROP COLUMN payout_minor;
COMMENT ON COLUMN campaign_terms.pay IS 'What an action pays: kind, and amount_minor, or bps and by_sku.';

-- A campaign that is closed gives back what it did not spend.
ALTER TABLE campaign_budgets ADD COLUMN closed_at timestamptz,
    ADD CHECK (closed_at IS NULL OR available_minor = 0);
ALTER TABLE ledger_transactions
    DROP CONSTRAINT ledger_transactions_kind_check,
    ADD CONSTRAINT ledger_transactions_kind_check CHECK (kind IN ('campaign', 'escrow', 'refund',
        'return', 'repayment', 'release', 'withdrawal', 'withdrawal_completed',
        'withdrawal_returned'));
CREATE TABLE closings (
    id           uuid PRIMARY KEY,
    batch_id     bigint NOT NULL REFERENCES batches (id),
    workspace_id uuid NOT NULL,
    campaign_id  uuid NOT NULL UNIQUE,
    amount_minor bigint NOT NULL CHECK (amount_minor >= 0),
    currency     char(3) NOT NULL,
    payload_hash text NOT NULL,
    at           timestamptz NOT NULL
);
CREATE INDEX ON closings (batch_id);
COMMENT ON TABLE closings IS 'Campaigns that were closed, and what went back to the business then.';
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON closings
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
GRANT SELECT, INSERT ON closings TO tributary_app;
