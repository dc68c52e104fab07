-- Refunds, and creators' money after it was earned: held, released, owed back,
-- withdrawn.

ALTER TABLE outcomes
    ADD COLUMN legs              smallint NOT NULL DEFAULT 1 CHECK (legs >= 1),
    ADD COLUMN order_key         uuid,
    ADD COLUMN refund_id         text,
    ADD COLUMN original_event_id uuid,
    ADD COLUMN original_leg      smallint,
    DROP CONSTRAINT outcomes_kind_check,
    DROP CONSTRAINT outcomes_check5,
    ADD CHECK (kind IN ('click', 'conversion', 'sale', 'refund')),
    ADD CONSTRAINT outcomes_amounts_check CHECK (
        CASE kind
            WHEN 'refund' THEN gross_minor < 0 AND creator_minor <= 0 AND fee_minor <= 0
            ELSE gross_minor > 0 AND creator_minor >= 0 AND fee_minor >= 0
        END),
    ADD CHECK ((kind = 'refund') = (refund_id IS NOT NULL)),
    ADD CHECK (kind <> 'refund' OR status <> 'posted' OR original_event_id IS NOT NULL),
    ADD FOREIGN KEY (original_event_id, original_leg) REFERENCES outcomes (event_id, leg);
CREATE INDEX ON outcomes (order_key) WHERE order_key IS NOT NULL;
CREATE INDEX ON outcomes (original_event_id, original_leg) WHERE original_event_id IS NOT NULL;
COMMENT ON COLUMN outcomes.order_key IS 'Of a sale and its refunds: names the order.';
COMMENT ON COLUMN outcomes.original_event_id IS 'Of a refund: the sale that it takes from. Its amounts are below 0.';

ALTER TABLE ledger_accounts
    DROP CONSTRAINT ledger_accounts_kind_check,
    DROP CONSTRAINT ledger_accounts_check,
    ADD CONSTRAINT ledger_accounts_kind_check CHECK (kind IN ('cash', 'campaign_escrow',
        'creator_pending', 'creator_available', 'creator_in_transit', 'creator_paid',
        'creator_debt', 'platform_fee')),
    ADD CONSTRAINT ledger_accounts_side_check CHECK (
        CASE WHEN kind IN ('cash', 'creator_debt') THEN balance_minor <= 0 ELSE balance_minor >= 0 END);

ALTER TABLE ledger_transactions
    DROP CONSTRAINT ledger_transactions_kind_check,
    ADD CONSTRAINT ledger_transactions_kind_check CHECK (kind IN ('campaign', 'escrow', 'refund',
        'repayment', 'release', 'withdrawal', 'withdrawal_completed', 'withdrawal_returned'));

CREATE SEQUENCE refund_resolutions;
GRANT USAGE ON refund_resolutions TO tributary_app;
CREATE TABLE refunds (
    event_id     uuid NOT NULL,
    payload_hash text NOT NULL,
    workspace_id uuid NOT NULL,
    order_key    uuid NOT NULL,
    refund       jsonb NOT NULL,
    campaign_id  uuid,
    received_at  timestamptz NOT NULL DEFAULT now(),
    resolved_at  timestamptz,
    resolution   bigint UNIQUE,
    sent_at      timestamptz,
    PRIMARY KEY (event_id, payload_hash),
    CHECK (sent_at IS NULL OR resolved_at IS NOT NULL),
    CHECK ((resolution IS NULL) = (resolved_at IS NULL))
);
CREATE INDEX ON refunds (order_key) WHERE resolved_at IS NULL;
CREATE INDEX ON refunds (resolution) WHERE sent_at IS NULL;
COMMENT ON TABLE refunds IS 'Refunds on their way to their sale''s campaign: waiting for the sale until resolved_at, for Kafka until sent_at.';
GRANT SELECT, INSERT, UPDATE (campaign_id, resolved_at, resolution, sent_at) ON refunds TO tributary_app;

-- A time zone that Postgres does not know would stop every hold.
UPDATE workspaces SET time_zone = 'UTC'
WHERE time_zone NOT IN (SELECT name FROM pg_timezone_names);
CREATE FUNCTION refuse_unknown_time_zone() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_timezone_names WHERE name = NEW.time_zone) THEN
        RAISE EXCEPTION 'unknown time zone %', NEW.time_zone
            USING ERRCODE = 'check_violation', CONSTRAINT = 'workspaces_time_zone_known';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER time_zone_known BEFORE INSERT OR UPDATE OF time_zone ON workspaces
    FOR EACH ROW EXECUTE FUNCTION refuse_unknown_time_zone();

CREATE TABLE workspace_policies (
    workspace_id             uuid NOT NULL REFERENCES workspaces (id),
    version                  integer NOT NULL CHECK (version >= 1),
    valid_from               timestamptz NOT NULL CHECK (extract(epoch FROM valid_from)::bigint % 900 = 0),
    hold_days                integer NOT NULL CHECK (hold_days BETWEEN 0 AND 365),
    minimum_withdrawal_minor bigint NOT NULL CHECK (minimum_withdrawal_minor >= 0),
    required_documents       text[] NOT NULL CHECK (
        required_documents <@ ARRAY['w9', 'invoice', 'id_verification']),
    created_at               timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, version),
    UNIQUE (workspace_id, valid_from)
);
COMMENT ON TABLE workspace_policies IS 'How long earnings are held and what a withdrawal needs, versioned: earnings go by the version in force when they were earned. Each begins at a quarter of an hour, as all time zones'' days do.';

-- Until when earnings are held: for the days that the policy says, and then to
-- the next midnight in the workspace's time zone. No days: not at all. What was
-- earned before the first policy is held for 7 days; no policy changes what is
-- held already, for refunds must find it.
CREATE FUNCTION wallet_held_until(workspace uuid, earned_at timestamptz) RETURNS timestamptz
STABLE LANGUAGE sql AS $$
    WITH zone AS (
        SELECT coalesce((SELECT time_zone FROM workspaces WHERE id = workspace), 'UTC') AS name
    ), policy AS (
        SELECT coalesce((
            SELECT hold_days
            FROM workspace_policies p
            WHERE p.workspace_id = workspace AND p.valid_from <= earned_at
            ORDER BY p.version DESC
            LIMIT 1), 7) AS hold_days
    )
    SELECT ((earned_at AT TIME ZONE zone.name)::date
            + CASE hold_days WHEN 0 THEN 0 ELSE hold_days + 1 END)::timestamp AT TIME ZONE zone.name
    FROM zone, policy
$$;

CREATE TABLE wallet_buckets (
    id             uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id   uuid NOT NULL,
    creator_id     uuid NOT NULL,
    currency       char(3) NOT NULL,
    held_until     timestamptz NOT NULL,
    amount_minor   bigint NOT NULL CHECK (amount_minor >= 0),
    created_at     timestamptz NOT NULL DEFAULT now(),
    released_at    timestamptz,
    transaction_id uuid REFERENCES ledger_transactions (id),
    CHECK (transaction_id IS NULL OR released_at IS NOT NULL),
    CHECK (released_at >= held_until)
);
CREATE UNIQUE INDEX wallet_buckets_open ON wallet_buckets (workspace_id, creator_id, currency, held_until)
    WHERE released_at IS NULL;
CREATE INDEX wallet_buckets_due ON wallet_buckets (held_until) WHERE released_at IS NULL;
CREATE INDEX ON wallet_buckets (creator_id);
CREATE INDEX ON wallet_buckets (transaction_id);
COMMENT ON TABLE wallet_buckets IS 'What a creator has pending, by the moment until which it is held; released by one posting each.';
GRANT SELECT, INSERT, UPDATE (amount_minor, released_at, transaction_id) ON wallet_buckets TO tributary_app;
-- What was earned before there were holds.
INSERT INTO wallet_buckets (workspace_id, creator_id, currency, held_until, amount_minor)
SELECT workspace_id, creator_id, currency, wallet_held_until(workspace_id, at), sum(creator_minor)
FROM outcomes
WHERE status = 'posted' AND creator_minor > 0
GROUP BY 1, 2, 3, 4;

CREATE TABLE withdrawals (
    id           uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspaces (id),
    creator_id   uuid NOT NULL REFERENCES users (id),
    currency     char(3) NOT NULL,
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    method       text NOT NULL CHECK (method IN ('ach', 'instant', 'card', 'bank_transfer', 'stripe', 'paypal')),
    external_id  text NOT NULL CHECK (length(external_id) BETWEEN 1 AND 128),
    created_at   timestamptz NOT NULL,
    UNIQUE (workspace_id, external_id)
);
CREATE INDEX ON withdrawals (creator_id);
COMMENT ON TABLE withdrawals IS 'Money that creators asked for; where each stands is in withdrawal_states.';

CREATE TABLE withdrawal_states (
    withdrawal_id uuid NOT NULL REFERENCES withdrawals (id),
    sequence      smallint NOT NULL CHECK (sequence >= 0),
    status        text NOT NULL CHECK (status IN ('requested', 'processing', 'completed', 'failed', 'cancelled')),
    actor         text NOT NULL,
    reason        text,
    at            timestamptz NOT NULL,
    PRIMARY KEY (withdrawal_id, sequence)
);
COMMENT ON TABLE withdrawal_states IS 'Every step of a withdrawal; the last one is where it stands.';

-- requested → processing → completed | failed; requested → cancelled.
CREATE FUNCTION refuse_backward_step() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    last record;
    is_forward boolean;
BEGIN
    SELECT sequence, status INTO last
    FROM withdrawal_states
    WHERE withdrawal_id = NEW.withdrawal_id
    ORDER BY sequence DESC
    LIMIT 1;
    is_forward := CASE coalesce(last.status, '')
        WHEN '' THEN NEW.status = 'requested'
        WHEN 'requested' THEN NEW.status IN ('processing', 'cancelled')
        WHEN 'processing' THEN NEW.status IN ('completed', 'failed')
        ELSE false
    END;
    IF NOT is_forward OR NEW.sequence <> coalesce(last.sequence + 1, 0) THEN
        RAISE EXCEPTION 'withdrawal % cannot go from % to %', NEW.withdrawal_id, last.status, NEW.status
            USING ERRCODE = 'check_violation', CONSTRAINT = 'withdrawal_states_forward';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER forward_only BEFORE INSERT ON withdrawal_states
    FOR EACH ROW EXECUTE FUNCTION refuse_backward_step();

CREATE TABLE creator_documents (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    creator_id uuid NOT NULL REFERENCES users (id),
    kind       text NOT NULL CHECK (kind IN ('w9', 'invoice', 'id_verification')),
    status     text NOT NULL CHECK (status IN ('submitted', 'approved', 'rejected')),
    at         timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON creator_documents (creator_id, kind, id);
COMMENT ON TABLE creator_documents IS 'What a creator must show before money is sent; the last row of a kind counts.';

CREATE TABLE payout_holds (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    creator_id uuid NOT NULL REFERENCES users (id),
    is_on_hold boolean NOT NULL,
    reason     text NOT NULL,
    at         timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON payout_holds (creator_id, id);
COMMENT ON TABLE payout_holds IS 'Creators to whom nothing is sent for now; the last row counts.';

DO $$
DECLARE
    append_only text;
BEGIN
    FOREACH append_only IN ARRAY ARRAY['workspace_policies', 'withdrawals', 'withdrawal_states',
        'creator_documents', 'payout_holds']
    LOOP
        EXECUTE format(
            'CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON %I
             FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', append_only);
        EXECUTE format('GRANT SELECT, INSERT ON %I TO tributary_app', append_only);
    END LOOP;
END
$$;
