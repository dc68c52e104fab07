-- Who there is and what they agreed on. The application works as the role
-- tributary_app, which owns nothing; migrations run as the owner.

DO $$
BEGIN
    CREATE ROLE tributary_app LOGIN;
EXCEPTION
    -- Roles belong to the whole server: another database, or another migrator
    -- at this very moment, may have made it.
    WHEN duplicate_object OR unique_violation THEN NULL;
END
$$;

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'table % is append-only: % refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation';
END
$$;

CREATE TABLE workspaces (
    id               uuid PRIMARY KEY,
    slug             text NOT NULL UNIQUE CHECK (slug ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    name             text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    currency         char(3) NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    platform_fee_bps integer NOT NULL CHECK (platform_fee_bps BETWEEN 0 AND 10000),
    time_zone        text NOT NULL DEFAULT 'UTC',
    created_at       timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE workspaces IS 'A tenant, with its platform''s policy.';

CREATE TABLE api_keys (
    id           uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspaces (id),
    name         text NOT NULL,
    key_hash     bytea NOT NULL UNIQUE CHECK (octet_length(key_hash) = 32),
    created_at   timestamptz NOT NULL DEFAULT now(),
    revoked_at   timestamptz
);
CREATE INDEX ON api_keys (workspace_id);
COMMENT ON COLUMN api_keys.key_hash IS 'SHA-256 of the key; the key itself is shown once and never stored.';

CREATE TABLE users (
    id           uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspaces (id),
    email        text NOT NULL CHECK (length(email) BETWEEN 3 AND 255),
    username     text NOT NULL CHECK (length(username) BETWEEN 1 AND 50),
    display_name text NOT NULL CHECK (length(display_name) BETWEEN 1 AND 100),
    created_at   timestamptz NOT NULL DEFAULT now(),
    UNIQUE (workspace_id, email),
    UNIQUE (workspace_id, username)
);

CREATE TABLE user_roles (
    user_id    uuid NOT NULL REFERENCES users (id),
    role       text NOT NULL CHECK (role IN ('creator', 'supporter', 'business', 'admin')),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, role)
);

CREATE TABLE creator_profiles (
    user_id    uuid PRIMARY KEY REFERENCES users (id),
    hashtags   text[] NOT NULL DEFAULT '{}',
    verified   boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE business_profiles (
    user_id      uuid PRIMARY KEY REFERENCES users (id),
    company_name text NOT NULL CHECK (length(company_name) BETWEEN 1 AND 200),
    website      text,
    industry     text,
    verified     boolean NOT NULL DEFAULT false,
    created_at   timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE wallets (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id uuid NOT NULL REFERENCES workspaces (id),
    user_id      uuid NOT NULL REFERENCES users (id),
    currency     char(3) NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    created_at   timestamptz NOT NULL DEFAULT now(),
    UNIQUE (user_id, currency)
);
CREATE INDEX ON wallets (workspace_id);
COMMENT ON TABLE wallets IS 'A user''s money in one currency; the balances are the user''s ledger accounts.';

CREATE FUNCTION create_wallet_for_user() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO wallets (workspace_id, user_id, currency)
    SELECT NEW.workspace_id, NEW.id, currency FROM workspaces WHERE id = NEW.workspace_id;
    RETURN NULL;
END
$$;
CREATE TRIGGER on_user_created_create_wallet AFTER INSERT ON users
    FOR EACH ROW EXECUTE FUNCTION create_wallet_for_user();

CREATE TABLE campaigns (
    id           uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspaces (id),
    business_id  uuid NOT NULL REFERENCES users (id),
    title        text NOT NULL CHECK (length(title) BETWEEN 1 AND 200),
    description  text,
    hashtags     text[] NOT NULL DEFAULT '{}',
    objective    text NOT NULL CHECK (objective IN ('click', 'conversion', 'sale')),
    currency     char(3) NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    created_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON campaigns (workspace_id);
CREATE INDEX ON campaigns (business_id);

CREATE TABLE campaign_terms (
    campaign_id  uuid NOT NULL REFERENCES campaigns (id),
    version      integer NOT NULL CHECK (version >= 1),
    valid_from   timestamptz NOT NULL,
    status       text NOT NULL CHECK (status IN ('draft', 'active', 'paused', 'completed')),
    payout_minor bigint NOT NULL CHECK (payout_minor BETWEEN 1 AND 1000000000000),
    fee_bps      integer NOT NULL CHECK (fee_bps BETWEEN 0 AND 10000),
    window_ms    bigint NOT NULL CHECK (window_ms BETWEEN 0 AND 7776000000),
    starts_at    timestamptz,
    ends_at      timestamptz,
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (campaign_id, version),
    UNIQUE (campaign_id, valid_from),
    CHECK (ends_at > starts_at)
);
COMMENT ON TABLE campaign_terms IS 'What a campaign pays and when, versioned: an event uses the version in force at its own time. Never changed, only followed by another.';
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON campaign_terms
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE campaign_creators (
    campaign_id uuid NOT NULL REFERENCES campaigns (id),
    creator_id  uuid NOT NULL REFERENCES users (id),
    status      text NOT NULL DEFAULT 'pending'
        CHECK (status IN ('pending', 'accepted', 'rejected', 'completed')),
    accepted_at timestamptz,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (campaign_id, creator_id)
);
CREATE INDEX ON campaign_creators (creator_id);

CREATE TABLE tracking_links (
    id              uuid PRIMARY KEY,
    workspace_id    uuid NOT NULL REFERENCES workspaces (id),
    campaign_id     uuid NOT NULL REFERENCES campaigns (id),
    creator_id      uuid NOT NULL REFERENCES users (id),
    supporter_id    uuid REFERENCES users (id),
    code            varchar(20) NOT NULL UNIQUE CHECK (code ~ '^[A-Za-z0-9_-]{1,20}$'),
    destination_url text NOT NULL CHECK (destination_url ~ '^https?://' AND length(destination_url) <= 2048),
    fallback_url    text CHECK (fallback_url ~ '^https?://' AND length(fallback_url) <= 2048),
    expires_at      timestamptz,
    created_at      timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (campaign_id, creator_id) REFERENCES campaign_creators (campaign_id, creator_id)
);
CREATE INDEX ON tracking_links (workspace_id);
CREATE INDEX ON tracking_links (campaign_id, creator_id);
CREATE INDEX ON tracking_links (creator_id);
CREATE INDEX ON tracking_links (supporter_id);

CREATE TABLE signing_keys (
    id         smallint PRIMARY KEY CHECK (id BETWEEN 0 AND 255),
    secret     bytea NOT NULL CHECK (octet_length(secret) >= 32),
    created_at timestamptz NOT NULL DEFAULT now(),
    retired_at timestamptz
);
COMMENT ON TABLE signing_keys IS 'Keys that click tokens (tcid) are signed with; a retired key no longer verifies.';

CREATE TABLE audit_log (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at          timestamptz NOT NULL DEFAULT now(),
    actor       text NOT NULL,
    action      text NOT NULL,
    entity_kind text NOT NULL,
    entity_id   uuid NOT NULL,
    before      jsonb,
    after       jsonb
);
CREATE INDEX ON audit_log (entity_kind, entity_id);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

GRANT SELECT, INSERT ON workspaces, api_keys, users, user_roles, creator_profiles,
    business_profiles, wallets, campaigns, campaign_terms, campaign_creators, tracking_links,
    signing_keys, audit_log TO tributary_app;
GRANT UPDATE (status, accepted_at) ON campaign_creators TO tributary_app;
GRANT UPDATE (revoked_at) ON api_keys TO tributary_app;
