-- Users with keys of their own, and what each of them may see: creators their own
-- earnings, businesses their own campaigns, finance and admins all of their
-- workspace; active campaigns everybody in it.

ALTER TABLE user_roles
    DROP CONSTRAINT user_roles_role_check,
    ADD CONSTRAINT user_roles_role_check CHECK (role IN
        ('creator', 'supporter', 'business', 'finance', 'admin'));

CREATE TABLE user_keys (
    id         uuid PRIMARY KEY,
    user_id    uuid NOT NULL,
    role       text NOT NULL,
    name       text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    key_hash   bytea NOT NULL UNIQUE CHECK (octet_length(key_hash) = 32),
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz,
    -- A key acts in one of its user's roles.
    FOREIGN KEY (user_id, role) REFERENCES user_roles (user_id, role)
);
CREATE INDEX ON user_keys (user_id, role);
COMMENT ON COLUMN user_keys.key_hash IS 'SHA-256 of the key; the key itself is shown once and never stored.';
GRANT SELECT, INSERT, UPDATE (revoked_at) ON user_keys TO tributary_app;

-- What users ask is asked as this role. It reads, and what it sees is decided
-- here, whatever the query. Roles belong to the whole server.
DO $$
BEGIN
    CREATE ROLE tributary_reader NOLOGIN;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN NULL;
END
$$;
DO $$
BEGIN
    GRANT tributary_reader TO tributary_app;
EXCEPTION
    -- Another database's migrator at this very moment.
    WHEN unique_violation THEN NULL;
END
$$;

CREATE FUNCTION asking_workspace() RETURNS uuid STABLE LANGUAGE sql AS
    $$ SELECT nullif(current_setting('tributary.workspace', true), '')::uuid $$;
CREATE FUNCTION asking_user() RETURNS uuid STABLE LANGUAGE sql AS
    $$ SELECT nullif(current_setting('tributary.user', true), '')::uuid $$;
CREATE FUNCTION asks_as_staff() RETURNS boolean STABLE LANGUAGE sql AS
    $$ SELECT coalesce(current_setting('tributary.role', true), '') IN ('finance', 'admin') $$;

-- These two look past the policies, which would else ask each other for ever.
CREATE FUNCTION pays_campaign(campaign uuid) RETURNS boolean
STABLE SECURITY DEFINER SET search_path = public, pg_temp LANGUAGE sql AS $$
    SELECT EXISTS (
        SELECT FROM campaigns c
        WHERE c.id = campaign AND c.workspace_id = asking_workspace()
            AND (asks_as_staff() OR c.business_id = asking_user()))
$$;
CREATE FUNCTION sees_campaign(campaign uuid) RETURNS boolean
STABLE SECURITY DEFINER SET search_path = public, pg_temp LANGUAGE sql AS $$
    SELECT pays_campaign(campaign) OR EXISTS (
        SELECT FROM campaigns c
        WHERE c.id = campaign AND c.workspace_id = asking_workspace()
            AND (EXISTS (
                    SELECT FROM campaign_creators m
                    WHERE m.campaign_id = campaign AND m.creator_id = asking_user())
                OR (SELECT t.status
                    FROM campaign_terms t
                    WHERE t.campaign_id = campaign AND (t.valid_from <= clock_timestamp() OR t.version = 1)
                    ORDER BY t.version DESC
                    LIMIT 1) = 'active'))
$$;
CREATE FUNCTION sees_account(account uuid) RETURNS boolean
STABLE SECURITY DEFINER SET search_path = public, pg_temp LANGUAGE sql AS $$
    SELECT EXISTS (
        SELECT FROM ledger_accounts a
        WHERE a.id = account AND a.workspace_id = asking_workspace()
            AND (asks_as_staff() OR a.owner_id = asking_user()
                OR (a.kind = 'campaign_escrow' AND pays_campaign(a.owner_id))))
$$;

DO $$
DECLARE
    seen record;
BEGIN
    FOR seen IN SELECT * FROM (VALUES
        ('workspaces', 'id = asking_workspace()'),
        ('users', 'workspace_id = asking_workspace() AND (asks_as_staff() OR id = asking_user())'),
        ('wallets', 'workspace_id = asking_workspace() AND (asks_as_staff() OR user_id = asking_user())'),
        ('campaigns', 'sees_campaign(id)'),
        ('campaign_terms', 'sees_campaign(campaign_id)'),
        ('campaign_creators', 'creator_id = asking_user() OR pays_campaign(campaign_id)'),
        ('campaign_budgets', 'pays_campaign(campaign_id)'),
        ('fundings', 'supporter_id = asking_user() OR pays_campaign(campaign_id)'),
        ('closings', 'pays_campaign(campaign_id)'),
        ('tracking_links', 'creator_id = asking_user() OR pays_campaign(campaign_id)'),
        ('outcomes', 'workspace_id = asking_workspace()
            AND (asks_as_staff() OR creator_id = asking_user() OR pays_campaign(campaign_id))'),
        ('ledger_accounts', 'sees_account(id)'),
        ('ledger_entries', 'sees_account(account_id)'),
        ('ledger_transactions', 'workspace_id = asking_workspace() AND EXISTS (
            SELECT FROM ledger_entries e WHERE e.transaction_id = ledger_transactions.id)'),
        ('wallet_buckets', 'workspace_id = asking_workspace()
            AND (asks_as_staff() OR creator_id = asking_user())'),
        ('withdrawals', 'workspace_id = asking_workspace()
            AND (asks_as_staff() OR creator_id = asking_user())'),
        ('withdrawal_states', 'EXISTS (SELECT FROM withdrawals w WHERE w.id = withdrawal_id)'),
        ('statements', 'workspace_id = asking_workspace()
            AND (asks_as_staff() OR creator_id = asking_user())'),
        ('statement_lines', 'EXISTS (SELECT FROM statements s WHERE s.id = statement_id)')
    ) AS policies (table_name, rule)
    LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', seen.table_name);
        EXECUTE format('CREATE POLICY application ON %I TO tributary_app USING (true) WITH CHECK (true)',
            seen.table_name);
        EXECUTE format('CREATE POLICY own_rows ON %I FOR SELECT TO tributary_reader USING (%s)',
            seen.table_name, seen.rule);
        EXECUTE format('GRANT SELECT ON %I TO tributary_reader', seen.table_name);
    END LOOP;
END
$$;
