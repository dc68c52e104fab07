-- Payouts: withdrawals that are sent together, proposed by one person and
-- approved by another.

CREATE TABLE payout_accounts (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    creator_id uuid NOT NULL REFERENCES users (id),
    kind       text NOT NULL CHECK (kind IN ('iban', 'us_bank', 'address')),
    account    jsonb NOT NULL CHECK (account ->> 'kind' = kind),
    actor      text NOT NULL,
    at         timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON payout_accounts (creator_id, kind, id);
COMMENT ON TABLE payout_accounts IS 'Where a creator''s money is sent; the last row of a kind counts.';

CREATE TABLE payout_origins (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspaces (id),
    origin       jsonb NOT NULL,
    at           timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON payout_origins (workspace_id, id);
COMMENT ON TABLE payout_origins IS 'The accounts that a workspace''s payouts leave from; the last row counts.';

CREATE TABLE payouts (
    id           uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspaces (id),
    method       text NOT NULL CHECK (method IN ('ach', 'instant', 'card', 'bank_transfer', 'stripe', 'paypal')),
    currency     char(3) NOT NULL,
    reference    text NOT NULL CHECK (length(reference) BETWEEN 1 AND 35),
    before       timestamptz NOT NULL,
    item_count   integer NOT NULL CHECK (item_count > 0),
    total_minor  bigint NOT NULL CHECK (total_minor > 0),
    created_at   timestamptz NOT NULL,
    UNIQUE (workspace_id, reference)
);
COMMENT ON TABLE payouts IS 'Withdrawals that are sent together; where each stands is in payout_states.';

CREATE TABLE payout_states (
    payout_id uuid NOT NULL REFERENCES payouts (id),
    sequence  smallint NOT NULL CHECK (sequence >= 0),
    status    text NOT NULL CHECK (status IN ('proposed', 'approved', 'sent', 'cancelled')),
    actor     text NOT NULL,
    at        timestamptz NOT NULL,
    PRIMARY KEY (payout_id, sequence)
);
COMMENT ON TABLE payout_states IS 'Every step of a payout; the last one is where it stands.';

-- proposed → approved → sent; proposed → cancelled. Who approves is not who
-- proposed.
CREATE FUNCTION refuse_payout_step() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    last record;
    is_forward boolean;
BEGIN
    SELECT sequence, status, actor INTO last
    FROM payout_states
    WHERE payout_id = NEW.payout_id
    ORDER BY sequence DESC
    LIMIT 1;
    is_forward := CASE coalesce(last.status, '')
        WHEN '' THEN NEW.status = 'proposed'
        WHEN 'proposed' THEN NEW.status IN ('approved', 'cancelled')
        WHEN 'approved' THEN NEW.status = 'sent'
        ELSE false
    END;
    IF NOT is_forward OR NEW.sequence <> coalesce(last.sequence + 1, 0) THEN
        RAISE EXCEPTION 'payout % cannot go from % to %', NEW.payout_id, last.status, NEW.status
            USING ERRCODE = 'check_violation', CONSTRAINT = 'payout_states_forward';
    END IF;
    -- An actor is `admin`, or role and user.
    IF NEW.status = 'approved'
        AND regexp_replace(NEW.actor, '^[a-z]+:', '') = regexp_replace(last.actor, '^[a-z]+:', '')
    THEN
        RAISE EXCEPTION 'payout % was proposed by %, who cannot approve it', NEW.payout_id, last.actor
            USING ERRCODE = 'check_violation', CONSTRAINT = 'payout_states_two_people';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER forward_only BEFORE INSERT ON payout_states
    FOR EACH ROW EXECUTE FUNCTION refuse_payout_step();

CREATE TABLE payout_items (
    payout_id     uuid NOT NULL REFERENCES payouts (id),
    withdrawal_id uuid NOT NULL REFERENCES withdrawals (id),
    amount_minor  bigint NOT NULL CHECK (amount_minor > 0),
    account       jsonb NOT NULL,
    PRIMARY KEY (payout_id, withdrawal_id)
);
CREATE INDEX ON payout_items (withdrawal_id);
COMMENT ON TABLE payout_items IS 'The withdrawals of a payout, and where each is sent.';

-- Payouts take turns (the journal's lock), so this sees what it must.
CREATE FUNCTION refuse_second_payout() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM payout_items i
        WHERE i.withdrawal_id = NEW.withdrawal_id AND i.payout_id <> NEW.payout_id
            AND (SELECT s.status FROM payout_states s WHERE s.payout_id = i.payout_id
                 ORDER BY s.sequence DESC LIMIT 1) <> 'cancelled')
    THEN
        RAISE EXCEPTION 'withdrawal % is in another payout', NEW.withdrawal_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'payout_items_once';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER in_one_payout BEFORE INSERT ON payout_items
    FOR EACH ROW EXECUTE FUNCTION refuse_second_payout();

CREATE TABLE payout_files (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    payout_id   uuid NOT NULL REFERENCES payouts (id),
    format      text NOT NULL CHECK (format IN ('csv', 'sepa', 'nacha')),
    sha256      bytea NOT NULL CHECK (octet_length(sha256) = 32),
    item_count  integer NOT NULL,
    total_minor bigint NOT NULL,
    actor       text NOT NULL,
    at          timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON payout_files (payout_id);
COMMENT ON TABLE payout_files IS 'The files that were made of payouts: who had one, and what it added up to.';

DO $$
DECLARE
    append_only text;
BEGIN
    FOREACH append_only IN ARRAY ARRAY['payout_accounts', 'payout_origins', 'payouts', 'payout_states',
        'payout_items', 'payout_files']
    LOOP
        EXECUTE format(
            'CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON %I
             FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', append_only);
        EXECUTE format('GRANT SELECT, INSERT ON %I TO tributary_app', append_only);
    END LOOP;
END
$$;
