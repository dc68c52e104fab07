-- Keys that may stand in a web page, and the secrets of shops' webhooks.

ALTER TABLE api_keys ADD COLUMN is_public boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN api_keys.is_public IS 'May stand in a web page: sends what browsers see, and no sales or refunds.';

CREATE TABLE webhook_secrets (
    workspace_id uuid NOT NULL REFERENCES workspaces (id),
    provider     text NOT NULL CHECK (provider IN ('stripe', 'shopify')),
    secret       text NOT NULL CHECK (length(secret) BETWEEN 8 AND 256),
    PRIMARY KEY (workspace_id, provider)
);
COMMENT ON TABLE webhook_secrets IS 'What a provider signs its webhooks with.';
GRANT SELECT, INSERT, UPDATE ON webhook_secrets TO tributary_app;
CREATE TRIGGER tell_collectors AFTER INSERT OR UPDATE OR DELETE ON webhook_secrets
    FOR EACH ROW EXECUTE FUNCTION tell_collectors();
