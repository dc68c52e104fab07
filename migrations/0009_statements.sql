-- What creators are told, once and for all.
CREATE TABLE statements (
    id            uuid PRIMARY KEY,
    workspace_id  uuid NOT NULL REFERENCES workspaces (id),
    creator_id    uuid NOT NULL REFERENCES users (id),
    currency      char(3) NOT NULL,
    sequence      integer NOT NULL CHECK (sequence >= 1),
    period_end    timestamptz NOT NULL,
    opening_minor bigint NOT NULL,
    closing_minor bigint NOT NULL,
    issued_by     text NOT NULL,
    issued_at     timestamptz NOT NULL DEFAULT now(),
    UNIQUE (creator_id, currency, sequence),
    UNIQUE (creator_id, currency, period_end)
);
CREATE INDEX ON statements (workspace_id);
COMMENT ON TABLE statements IS 'One per creator, currency and period. What comes in later for an earlier period is on the next one.';

CREATE TABLE statement_lines (
    statement_id   uuid NOT NULL REFERENCES statements (id) DEFERRABLE INITIALLY DEFERRED,
    line           integer NOT NULL CHECK (line >= 1),
    transaction_id uuid NOT NULL UNIQUE REFERENCES ledger_transactions (id),
    kind           text NOT NULL CHECK (kind IN ('credit', 'clawback', 'paid')),
    at             timestamptz NOT NULL,
    amount_minor   bigint NOT NULL CHECK (amount_minor <> 0),
    detail         jsonb NOT NULL,
    PRIMARY KEY (statement_id, line)
);
COMMENT ON TABLE statement_lines IS 'Every transaction that changes what a creator is owed is on exactly one statement.';

DO $$
DECLARE
    append_only text;
BEGIN
    FOREACH append_only IN ARRAY ARRAY['statements', 'statement_lines']
    LOOP
        EXECUTE format(
            'CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON %I
             FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', append_only);
        EXECUTE format('GRANT SELECT, INSERT ON %I TO tributary_app', append_only);
    END LOOP;
END
$$;
