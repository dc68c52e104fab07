-- How far the books have been checked, and what balances were there: so that the
-- next check need only look at what is new.
CREATE TABLE reconciled_positions (
    part        text NOT NULL CHECK (part IN ('books', 'clickhouse')),
    topic       text NOT NULL,
    partition   integer NOT NULL CHECK (partition >= 0),
    next_offset bigint NOT NULL CHECK (next_offset >= 0),
    PRIMARY KEY (part, topic, partition)
);
COMMENT ON TABLE reconciled_positions IS 'The batches before this offset were found right by reconcile.';

CREATE TABLE reconciled_accounts (
    account_id    uuid PRIMARY KEY REFERENCES ledger_accounts (id),
    balance_minor bigint NOT NULL
);
COMMENT ON TABLE reconciled_accounts IS 'What an account held after those batches.';
GRANT SELECT, INSERT, UPDATE ON reconciled_positions, reconciled_accounts TO tributary_app;
