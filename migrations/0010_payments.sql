-- Money that people pay creators through the platform: tips, live sales,
-- purchases; and supporters' boosts of campaigns.

CREATE TABLE payment_terms (
    workspace_id uuid NOT NULL REFERENCES workspaces (id),
    version      integer NOT NULL CHECK (version >= 1),
    valid_from   timestamptz NOT NULL,
    rates        jsonb NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, version),
    UNIQUE (workspace_id, valid_from)
);
COMMENT ON TABLE payment_terms IS 'What processors and platform keep of payments, versioned: a payment uses the version in force at its own time.';

CREATE TABLE seller_tiers (
    seller_id    uuid NOT NULL REFERENCES users (id),
    valid_from   timestamptz NOT NULL,
    workspace_id uuid NOT NULL REFERENCES workspaces (id),
    tier         text NOT NULL CHECK (length(tier) BETWEEN 1 AND 64),
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (seller_id, valid_from)
);
CREATE INDEX ON seller_tiers (workspace_id);
COMMENT ON TABLE seller_tiers IS 'Which tier a seller is in, and so what commission they pay, from when on.';

-- A workspace takes payments from its first moment, at its own platform fee and
-- the processors' list prices (2026): Stripe 2.9 % + 0.30, PayPal 3.49 % + 0.49.
CREATE FUNCTION first_payment_rates(platform_fee_bps integer) RETURNS jsonb IMMUTABLE LANGUAGE sql AS $$
    SELECT jsonb_build_object(
        'tip_fee_bps', platform_fee_bps,
        'live_sale_fee_bps', platform_fee_bps,
        'commission_bps', jsonb_build_object('standard', platform_fee_bps),
        'default_tier', 'standard',
        'processors', jsonb_build_object(
            'stripe', jsonb_build_object('bps', 290, 'fixed_minor', jsonb_build_object('USD', 30)),
            'paypal', jsonb_build_object('bps', 349, 'fixed_minor', jsonb_build_object('USD', 49)),
            'wallet', jsonb_build_object('bps', 0)),
        'boost_reward_bps', 0)
$$;
CREATE FUNCTION create_payment_terms_for_workspace() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO payment_terms (workspace_id, version, valid_from, rates)
    VALUES (NEW.id, 1, date_trunc('milliseconds', clock_timestamp()),
        first_payment_rates(NEW.platform_fee_bps));
    RETURN NULL;
END
$$;
CREATE TRIGGER on_workspace_created_create_payment_terms AFTER INSERT ON workspaces
    FOR EACH ROW EXECUTE FUNCTION create_payment_terms_for_workspace();
INSERT INTO payment_terms (workspace_id, version, valid_from, rates)
SELECT id, 1, date_trunc('milliseconds', created_at), first_payment_rates(platform_fee_bps) FROM workspaces;

DO $$
DECLARE
    append_only text;
BEGIN
    FOREACH append_only IN ARRAY ARRAY['payment_terms', 'seller_tiers']
    LOOP
        EXECUTE format(
            'CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON %I
             FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', append_only);
        EXECUTE format('GRANT SELECT, INSERT ON %I TO tributary_app', append_only);
    END LOOP;
END
$$;

-- A payout may have a third part: of a payment, what its processor keeps.
ALTER TABLE outcomes
    ADD COLUMN other_minor bigint,
    DROP CONSTRAINT outcomes_check4,
    DROP CONSTRAINT outcomes_amounts_check,
    DROP CONSTRAINT outcomes_kind_check,
    ADD CONSTRAINT outcomes_kind_check CHECK (kind IN
        ('click', 'conversion', 'sale', 'tip', 'live_sale', 'purchase', 'refund')),
    ADD CONSTRAINT outcomes_parts_check CHECK (
        gross_minor = creator_minor + fee_minor + coalesce(other_minor, 0)),
    ADD CONSTRAINT outcomes_amounts_check CHECK (
        CASE kind
            WHEN 'refund' THEN gross_minor < 0 AND creator_minor <= 0 AND fee_minor <= 0
                AND coalesce(other_minor, 0) <= 0
            ELSE gross_minor > 0 AND creator_minor >= 0 AND fee_minor >= 0
                AND coalesce(other_minor, 0) >= 0
        END);
COMMENT ON COLUMN outcomes.other_minor IS 'Of a payment: what its processor keeps.';
COMMENT ON COLUMN outcomes.creator_id IS 'The creator it is attributed to; of a payment, the payee.';

ALTER TABLE ledger_accounts
    DROP CONSTRAINT ledger_accounts_kind_check,
    ADD CONSTRAINT ledger_accounts_kind_check CHECK (kind IN ('cash', 'campaign_escrow',
        'creator_pending', 'creator_available', 'creator_in_transit', 'creator_paid',
        'creator_debt', 'processor_fee', 'platform_fee'));
ALTER TABLE ledger_transactions
    DROP CONSTRAINT ledger_transactions_kind_check,
    ADD CONSTRAINT ledger_transactions_kind_check CHECK (kind IN ('campaign', 'escrow', 'payment',
        'refund', 'return', 'repayment', 'release', 'withdrawal', 'withdrawal_completed',
        'withdrawal_returned'));

-- A supporter's boost is a funding, of which a part is their reward.
ALTER TABLE fundings
    ADD COLUMN supporter_id uuid,
    ADD COLUMN reward_minor bigint NOT NULL DEFAULT 0,
    ADD CHECK (reward_minor >= 0 AND reward_minor < amount_minor),
    ADD CHECK (supporter_id IS NOT NULL OR reward_minor = 0);
CREATE INDEX ON fundings (supporter_id) WHERE supporter_id IS NOT NULL;
COMMENT ON COLUMN fundings.reward_minor IS 'What of the amount went to the supporter who gave it; the rest is the campaign''s.';

-- What is bought with a wallet's balance leaves the wallet as a withdrawal.
ALTER TABLE withdrawals
    DROP CONSTRAINT withdrawals_method_check,
    ADD CONSTRAINT withdrawals_method_check CHECK (method IN
        ('ach', 'instant', 'card', 'bank_transfer', 'stripe', 'paypal', 'wallet'));
