-- Creators' accounts on social platforms, what they had when last looked at, and
-- readings on their way to ClickHouse.
CREATE TABLE social_accounts (
    id               uuid PRIMARY KEY,
    workspace_id     uuid NOT NULL REFERENCES workspaces (id),
    creator_id       uuid NOT NULL REFERENCES creator_profiles (user_id),
    platform         text NOT NULL CHECK (platform IN
        ('youtube', 'instagram', 'tiktok', 'x', 'twitch', 'facebook', 'linkedin', 'other')),
    external_id      text NOT NULL CHECK (length(external_id) BETWEEN 1 AND 200),
    handle           text NOT NULL CHECK (length(handle) <= 200),
    plan             text NOT NULL CHECK (plan IN ('free', 'pro')),
    is_published     boolean NOT NULL,
    sealed_token     bytea,
    token_expires_at timestamptz,
    created_at       timestamptz NOT NULL DEFAULT now(),
    deleted_at       timestamptz,
    -- The header: what it had when it was last read.
    captured_at      timestamptz,
    figures          jsonb,
    -- How fetching goes.
    fetched_at       timestamptz,
    next_attempt_at  timestamptz,
    failures         integer NOT NULL DEFAULT 0 CHECK (failures >= 0),
    error_code       text,
    error_message    text,
    CHECK ((captured_at IS NULL) = (figures IS NULL)),
    CHECK ((error_code IS NULL) = (error_message IS NULL))
);
-- An account that was removed may come again.
CREATE UNIQUE INDEX social_accounts_once ON social_accounts (workspace_id, platform, external_id)
    WHERE deleted_at IS NULL;
CREATE INDEX ON social_accounts (creator_id);
CREATE INDEX social_accounts_due ON social_accounts (next_attempt_at)
    WHERE deleted_at IS NULL AND next_attempt_at IS NOT NULL;
COMMENT ON TABLE social_accounts IS 'Creators'' accounts on social platforms. Their history is in ClickHouse, table social_metrics.';
COMMENT ON COLUMN social_accounts.sealed_token IS 'The access token, sealed with the secrets key, which is not in this database.';
COMMENT ON COLUMN social_accounts.next_attempt_at IS 'When it is fetched next; never, where null: nothing is fetched of its platform, or somebody has to help.';
GRANT SELECT, INSERT ON social_accounts TO tributary_app;
GRANT UPDATE (handle, plan, is_published, sealed_token, token_expires_at, deleted_at, captured_at, figures,
    fetched_at, next_attempt_at, failures, error_code, error_message) ON social_accounts TO tributary_app;

CREATE TABLE social_readings (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspaces (id),
    account_id   uuid NOT NULL REFERENCES social_accounts (id),
    post_id      text NOT NULL CHECK (length(post_id) <= 200),
    published_at timestamptz,
    captured_at  timestamptz NOT NULL,
    figures      jsonb NOT NULL
);
CREATE INDEX ON social_readings (workspace_id);
CREATE INDEX ON social_readings (account_id);
COMMENT ON TABLE social_readings IS 'Readings that are not in ClickHouse yet; they are deleted here when they are.';
COMMENT ON COLUMN social_readings.post_id IS 'The platform''s id of the post; empty for the account itself.';
GRANT SELECT, INSERT, DELETE ON social_readings TO tributary_app;
