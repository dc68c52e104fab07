-- The ledger by months. A row's partition follows from its transaction's id,
-- which begins with the transaction's own time: every replay puts it into the
-- same one, whenever that runs.

ALTER TABLE wallet_buckets DROP CONSTRAINT wallet_buckets_transaction_id_fkey;
ALTER TABLE statement_lines DROP CONSTRAINT statement_lines_transaction_id_fkey;
ALTER TABLE ledger_entries RENAME TO old_entries;
ALTER TABLE ledger_transactions RENAME TO old_transactions;
ALTER TABLE old_entries RENAME CONSTRAINT ledger_entries_pkey TO old_entries_pkey;
ALTER TABLE old_transactions RENAME CONSTRAINT ledger_transactions_pkey TO old_transactions_pkey;

CREATE TABLE ledger_transactions (
    LIKE old_transactions INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING COMMENTS,
    PRIMARY KEY (id),
    FOREIGN KEY (batch_id) REFERENCES batches (id)
) PARTITION BY RANGE (id);
CREATE INDEX ON ledger_transactions (batch_id);
-- One transaction a source, leg and kind: its id is made of them and of the
-- source's time, and outcomes, buckets and steps are there once.
CREATE INDEX ON ledger_transactions (source_id, leg, kind);

-- No foreign key to the transaction: into a partitioned table it makes an entry
-- four times as dear. Both are written in one statement's breath, and reconcile
-- looks for entries without one.
CREATE TABLE ledger_entries (
    LIKE old_entries INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING COMMENTS,
    PRIMARY KEY (transaction_id, line),
    FOREIGN KEY (account_id, currency) REFERENCES ledger_accounts (id, currency)
) PARTITION BY RANGE (transaction_id);
CREATE INDEX ON ledger_entries (account_id, currency);
COMMENT ON TABLE ledger_entries IS 'Double entry: per transaction and currency the amounts sum to zero. Append-only. By months of the transaction''s time.';

-- The least id of a month (UTC).
CREATE FUNCTION first_id_of(month timestamp) RETURNS uuid IMMUTABLE LANGUAGE sql AS $$
    SELECT (lpad(to_hex((extract(epoch FROM month) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$;

-- A statement that names a partition does not meet the triggers of its parent.
CREATE FUNCTION guard_ledger_partition(part text, parent text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format(
        'CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON %I
         FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', part);
    IF parent = 'ledger_entries' THEN
        EXECUTE format(
            'CREATE TRIGGER balanced AFTER INSERT ON %I REFERENCING NEW TABLE AS inserted
             FOR EACH STATEMENT EXECUTE FUNCTION refuse_unbalanced_entries()', part);
    END IF;
END
$$;

-- Makes partitions from the month before this one until `until`; gives how many.
-- What has no month of its own is in the default partition. It waits for writers
-- of the ledger, and they for it, so it does not wait long: it is tried again.
CREATE FUNCTION ensure_ledger_partitions(until timestamptz) RETURNS integer
SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '2s' LANGUAGE plpgsql AS $$
DECLARE
    parent text;
    part text;
    key text;
    month timestamp;
    is_taken boolean;
    made integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(7302);
    FOREACH parent IN ARRAY ARRAY['ledger_transactions', 'ledger_entries']
    LOOP
        key := CASE parent WHEN 'ledger_entries' THEN 'transaction_id' ELSE 'id' END;
        month := date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC') - interval '1 month';
        WHILE month < until AT TIME ZONE 'UTC'
        LOOP
            part := parent || to_char(month, '_YYYY_MM');
            IF to_regclass(part) IS NULL THEN
                EXECUTE format('SELECT EXISTS (SELECT FROM %I WHERE %I >= %L AND %I < %L)',
                    parent || '_default', key, first_id_of(month), key, first_id_of(month + interval '1 month'))
                INTO is_taken;
                IF NOT is_taken THEN
                    EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
                        part, parent, first_id_of(month), first_id_of(month + interval '1 month'));
                    PERFORM guard_ledger_partition(part, parent);
                    made := made + 1;
                END IF;
            END IF;
            month := month + interval '1 month';
        END LOOP;
    END LOOP;
    RETURN made;
END
$$;
REVOKE EXECUTE ON FUNCTION ensure_ledger_partitions, guard_ledger_partition FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ensure_ledger_partitions TO tributary_app;

DO $$
DECLARE
    parent text;
BEGIN
    FOREACH parent IN ARRAY ARRAY['ledger_transactions', 'ledger_entries']
    LOOP
        EXECUTE format('CREATE TABLE %I PARTITION OF %I DEFAULT', parent || '_default', parent);
    END LOOP;
END
$$;
SELECT ensure_ledger_partitions(clock_timestamp() + interval '13 months');
INSERT INTO ledger_transactions SELECT * FROM old_transactions;
INSERT INTO ledger_entries SELECT * FROM old_entries;
DROP POLICY own_rows ON old_transactions;
DROP TABLE old_entries;
DROP TABLE old_transactions;
ALTER TABLE wallet_buckets ADD FOREIGN KEY (transaction_id) REFERENCES ledger_transactions (id);
ALTER TABLE statement_lines ADD FOREIGN KEY (transaction_id) REFERENCES ledger_transactions (id);

-- The application may insert and read, and through the parents only.
DO $$
DECLARE
    parent text;
BEGIN
    FOREACH parent IN ARRAY ARRAY['ledger_transactions', 'ledger_entries']
    LOOP
        PERFORM guard_ledger_partition(parent, parent);
        PERFORM guard_ledger_partition(parent || '_default', parent);
        EXECUTE format('GRANT SELECT, INSERT ON %I TO tributary_app', parent);
        EXECUTE format('GRANT SELECT ON %I TO tributary_reader', parent);
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', parent);
        EXECUTE format('CREATE POLICY application ON %I TO tributary_app USING (true) WITH CHECK (true)', parent);
    END LOOP;
END
$$;
CREATE POLICY own_rows ON ledger_entries FOR SELECT TO tributary_reader USING (sees_account(account_id));
CREATE POLICY own_rows ON ledger_transactions FOR SELECT TO tributary_reader
    USING (workspace_id = asking_workspace() AND EXISTS (
        SELECT FROM ledger_entries e WHERE e.transaction_id = ledger_transactions.id));
