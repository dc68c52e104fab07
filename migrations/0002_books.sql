-- The books: budgets, double-entry ledger, outcomes, and the batch log that
-- ties them to the offsets of the topic `credits`. All money is in whole minor
-- units. Nothing here references the control tables: the books follow from the
-- topic alone, and replaying it into an empty database rebuilds them.

CREATE TABLE consumer_offsets (
    topic       text NOT NULL,
    partition   integer NOT NULL CHECK (partition >= 0),
    next_offset bigint NOT NULL CHECK (next_offset >= 0),
    PRIMARY KEY (topic, partition)
);
COMMENT ON TABLE consumer_offsets IS 'How far settlement has come; moved by compare-and-set in the transaction that settles, which fences a second writer.';

CREATE TABLE batches (
    id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic             text NOT NULL,
    partition         integer NOT NULL,
    first_offset      bigint NOT NULL,
    last_offset       bigint NOT NULL,
    outcome_count     integer NOT NULL,
    transaction_count integer NOT NULL,
    line_count        integer NOT NULL,
    previous_hash     bytea NOT NULL CHECK (octet_length(previous_hash) = 32),
    hash              bytea NOT NULL CHECK (octet_length(hash) = 32),
    created_at        timestamptz NOT NULL DEFAULT now(),
    UNIQUE (topic, partition, first_offset),
    UNIQUE (topic, partition, last_offset),
    CHECK (last_offset >= first_offset)
);
COMMENT ON TABLE batches IS 'One row a settled batch: its offset range and the hash chained to the batch before it. sinks/outcomes follows it.';

CREATE TABLE outcomes (
    event_id      uuid NOT NULL,
    leg           smallint NOT NULL CHECK (leg >= 0),
    batch_id      bigint NOT NULL REFERENCES batches (id),
    workspace_id  uuid NOT NULL,
    kind          text NOT NULL CHECK (kind IN ('click', 'conversion', 'sale')),
    status        text NOT NULL
        CHECK (status IN ('posted', 'rejected_budget', 'rejected_rule', 'nonpayable')),
    reason        text,
    campaign_id   uuid,
    creator_id    uuid,
    link_id       uuid,
    click_id      uuid,
    visitor       bytea NOT NULL CHECK (octet_length(visitor) = 16),
    at            timestamptz NOT NULL,
    value_minor   bigint,
    value_currency char(3),
    gross_minor   bigint,
    creator_minor bigint,
    fee_minor     bigint,
    fee_bps       integer,
    currency      char(3),
    transaction_id uuid,
    payload_hash  text NOT NULL,
    basis         jsonb NOT NULL,
    PRIMARY KEY (event_id, leg),
    CHECK ((reason IS NULL) = (status = 'posted')),
    CHECK ((status = 'posted') = (transaction_id IS NOT NULL)),
    CHECK ((status = 'posted') = (gross_minor IS NOT NULL)),
    CHECK ((status = 'posted') = (currency IS NOT NULL)),
    CHECK (gross_minor = creator_minor + fee_minor),
    CHECK (gross_minor > 0 AND creator_minor >= 0 AND fee_minor >= 0)
);
CREATE INDEX ON outcomes (batch_id);
CREATE INDEX ON outcomes (campaign_id, status);
CREATE INDEX ON outcomes (creator_id);
COMMENT ON TABLE outcomes IS 'The one final answer to each leg of each action.';

CREATE TABLE campaign_budgets (
    campaign_id     uuid PRIMARY KEY,
    workspace_id    uuid NOT NULL,
    currency        char(3) NOT NULL,
    funded_minor    bigint NOT NULL CHECK (funded_minor >= 0),
    available_minor bigint NOT NULL CHECK (available_minor >= 0),
    spent_minor     bigint NOT NULL CHECK (spent_minor >= 0),
    returned_minor  bigint NOT NULL CHECK (returned_minor >= 0),
    exhausted_at    timestamptz,
    CHECK (funded_minor = available_minor + spent_minor + returned_minor)
);

CREATE TABLE ledger_accounts (
    id            uuid PRIMARY KEY,
    workspace_id  uuid NOT NULL,
    kind          text NOT NULL CHECK (kind IN
        ('cash', 'campaign_escrow', 'creator_pending', 'creator_available', 'platform_fee')),
    owner_id      uuid NOT NULL,
    currency      char(3) NOT NULL,
    balance_minor bigint NOT NULL DEFAULT 0,
    UNIQUE (workspace_id, kind, owner_id, currency),
    UNIQUE (id, currency),
    CHECK (CASE kind WHEN 'cash' THEN balance_minor <= 0 ELSE balance_minor >= 0 END)
);
CREATE INDEX ON ledger_accounts (owner_id);
COMMENT ON COLUMN ledger_accounts.balance_minor IS 'Sum of the account''s entries; credits are positive, so cash, the other side of what is owed, is never above zero.';

CREATE TABLE ledger_transactions (
    id           uuid PRIMARY KEY,
    batch_id     bigint NOT NULL REFERENCES batches (id),
    workspace_id uuid NOT NULL,
    kind         text NOT NULL CHECK (kind IN ('campaign', 'escrow')),
    source_id    uuid NOT NULL,
    leg          smallint NOT NULL,
    at           timestamptz NOT NULL,
    UNIQUE (source_id, leg, kind)
);
CREATE INDEX ON ledger_transactions (batch_id);

CREATE TABLE ledger_entries (
    transaction_id uuid NOT NULL REFERENCES ledger_transactions (id),
    line           smallint NOT NULL CHECK (line >= 0),
    account_id     uuid NOT NULL,
    amount_minor   bigint NOT NULL CHECK (
        amount_minor <> 0 AND amount_minor BETWEEN -1000000000000 AND 1000000000000),
    currency       char(3) NOT NULL,
    PRIMARY KEY (transaction_id, line),
    FOREIGN KEY (account_id, currency) REFERENCES ledger_accounts (id, currency)
);
CREATE INDEX ON ledger_entries (account_id, currency);
COMMENT ON TABLE ledger_entries IS 'Double entry: per transaction and currency the amounts sum to zero. Append-only.';

CREATE FUNCTION refuse_unbalanced_entries() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    offending record;
BEGIN
    SELECT transaction_id, currency, sum(amount_minor) AS total, count(*) AS lines INTO offending
    FROM inserted
    GROUP BY transaction_id, currency
    HAVING sum(amount_minor) <> 0 OR count(*) < 2
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'ledger transaction % does not balance: % line(s) in % sum to %',
            offending.transaction_id, offending.lines, offending.currency, offending.total
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER balanced AFTER INSERT ON ledger_entries
    REFERENCING NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_unbalanced_entries();

CREATE TABLE fundings (
    id           uuid PRIMARY KEY,
    batch_id     bigint NOT NULL REFERENCES batches (id),
    workspace_id uuid NOT NULL,
    campaign_id  uuid NOT NULL,
    external_id  text NOT NULL,
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    currency     char(3) NOT NULL,
    payload_hash text NOT NULL,
    at           timestamptz NOT NULL,
    UNIQUE (workspace_id, external_id)
);
CREATE INDEX ON fundings (batch_id);
CREATE INDEX ON fundings (campaign_id);

CREATE TABLE quarantined_commands (
    id           uuid NOT NULL,
    leg          smallint NOT NULL,
    payload_hash text NOT NULL,
    batch_id     bigint NOT NULL REFERENCES batches (id),
    workspace_id uuid NOT NULL,
    reason       text NOT NULL,
    command      jsonb NOT NULL,
    PRIMARY KEY (id, leg, payload_hash, reason)
);
CREATE INDEX ON quarantined_commands (batch_id);
COMMENT ON TABLE quarantined_commands IS 'Messages that cannot be settled, for example an id that came again with another payload.';

DO $$
DECLARE
    append_only text;
BEGIN
    FOREACH append_only IN ARRAY ARRAY['batches', 'outcomes', 'ledger_transactions',
        'ledger_entries', 'fundings', 'quarantined_commands']
    LOOP
        EXECUTE format(
            'CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON %I
             FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', append_only);
        EXECUTE format('GRANT SELECT, INSERT ON %I TO tributary_app', append_only);
    END LOOP;
END
$$;
GRANT SELECT, INSERT, UPDATE ON consumer_offsets, campaign_budgets TO tributary_app;
GRANT SELECT, INSERT, UPDATE (balance_minor) ON ledger_accounts TO tributary_app;
