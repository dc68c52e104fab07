-- What every settled row refers to is looked up once a statement, no longer once
-- a row: of five thousand credits' SQL a third was foreign keys' look-ups of a
-- few hundred accounts and one batch. That what is referred to stays there is
-- kept by refusing its removal, to the owner as well.

ALTER TABLE outcomes DROP CONSTRAINT outcomes_batch_id_fkey;
ALTER TABLE ledger_transactions DROP CONSTRAINT ledger_transactions_batch_id_fkey1;
ALTER TABLE ledger_entries DROP CONSTRAINT ledger_entries_account_id_currency_fkey1;

-- The basis is written once and read whole: as text it is checked, and no more.
ALTER TABLE outcomes ALTER COLUMN basis TYPE json;

-- Nobody asks for a transaction by its source: its id is made of it.
DROP INDEX ledger_transactions_source_id_leg_kind_idx;

-- Balances change; what an account is does not, and it stays.
CREATE TRIGGER stays_what_it_is BEFORE DELETE OR TRUNCATE OR UPDATE OF id, workspace_id, kind, owner_id, currency
    ON ledger_accounts FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE FUNCTION refuse_unknown_batches() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    unknown bigint;
BEGIN
    SELECT batch_id INTO unknown
    FROM (SELECT DISTINCT batch_id FROM inserted) referred
    WHERE NOT EXISTS (SELECT FROM batches b WHERE b.id = referred.batch_id)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'rows of % refer to batch %, which there is not', TG_TABLE_NAME, unknown
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN NULL;
END
$$;

-- An entry's account is there, in the entry's currency.
CREATE FUNCTION refuse_unknown_accounts() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    unknown record;
BEGIN
    SELECT account_id, currency INTO unknown
    FROM (SELECT DISTINCT account_id, currency FROM inserted) referred
    WHERE NOT EXISTS (
        SELECT FROM ledger_accounts a WHERE a.id = referred.account_id AND a.currency = referred.currency)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'ledger entries refer to account % in %, which there is not',
            unknown.account_id, unknown.currency
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER batches_are_there AFTER INSERT ON outcomes REFERENCING NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_unknown_batches();

-- What 0015 hangs on a table of the ledger and on each of its partitions, and
-- what is checked here.
CREATE OR REPLACE FUNCTION guard_ledger_partition(part text, parent text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    -- Trigger and function, by turns.
    after_insert text[] := CASE parent
        WHEN 'ledger_entries' THEN ARRAY['balanced', 'refuse_unbalanced_entries',
            'accounts_are_there', 'refuse_unknown_accounts']
        ELSE ARRAY['batches_are_there', 'refuse_unknown_batches'] END;
BEGIN
    EXECUTE format(
        'CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON %I
         FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', part);
    FOR i IN 1 .. cardinality(after_insert) BY 2
    LOOP
        EXECUTE format(
            'CREATE OR REPLACE TRIGGER %I AFTER INSERT ON %I REFERENCING NEW TABLE AS inserted
             FOR EACH STATEMENT EXECUTE FUNCTION %I()', after_insert[i], part, after_insert[i + 1]);
    END LOOP;
END
$$;
SELECT guard_ledger_partition(part.relid::text, parent)
FROM unnest(ARRAY['ledger_transactions', 'ledger_entries']) parent, pg_partition_tree(parent::regclass) part;
