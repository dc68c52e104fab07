-- Models and bounds of a campaign's terms, coupons, and how far attribution has
-- come.

ALTER TABLE campaign_terms
    ADD COLUMN model        jsonb NOT NULL DEFAULT '{"name": "last_touch"}' CHECK (model ? 'name'),
    ADD COLUMN min_delay_ms bigint NOT NULL DEFAULT 0 CHECK (min_delay_ms >= 0);
COMMENT ON COLUMN campaign_terms.model IS 'How a payout is shared among clicks: name and parameters.';
COMMENT ON COLUMN campaign_terms.min_delay_ms IS 'An action sooner than this after its click is rejected.';

CREATE TABLE coupons (
    workspace_id uuid NOT NULL REFERENCES workspaces (id),
    code         varchar(64) NOT NULL CHECK (code = upper(btrim(code)) AND code <> ''),
    valid_from   timestamptz NOT NULL,
    campaign_id  uuid NOT NULL,
    creator_id   uuid NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, code, valid_from),
    FOREIGN KEY (campaign_id, creator_id) REFERENCES campaign_creators (campaign_id, creator_id)
);
CREATE INDEX ON coupons (campaign_id, creator_id);
COMMENT ON TABLE coupons IS 'Codes that credit a creator of a campaign without a click. Never changed, only followed by another of the same code.';
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON coupons
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
GRANT SELECT, INSERT ON coupons TO tributary_app;

CREATE TABLE attribution_positions (
    topic      text NOT NULL,
    partition  integer NOT NULL CHECK (partition >= 0),
    emitted_to bigint NOT NULL CHECK (emitted_to >= 0),
    PRIMARY KEY (topic, partition)
);
COMMENT ON TABLE attribution_positions IS 'What the events before this offset lead to was emitted. State that is built anew emits nothing before it.';
GRANT SELECT, INSERT, UPDATE ON attribution_positions TO tributary_app;
