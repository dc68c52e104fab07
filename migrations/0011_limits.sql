-- Caps on what campaigns spend, and rewards that a customer brings once.

ALTER TABLE campaign_terms ADD COLUMN limits jsonb NOT NULL DEFAULT '{}';
COMMENT ON COLUMN campaign_terms.limits IS 'Caps in minor units, for the campaign and for each creator, per day and in all; once_per_customer.';

-- The workspace's day that a moment is on, in days since 1970. A workspace's time
-- zone never changes.
CREATE FUNCTION workspace_day(workspace uuid, moment timestamptz) RETURNS integer STABLE LANGUAGE sql AS $$
    SELECT (moment AT TIME ZONE coalesce((SELECT time_zone FROM workspaces WHERE id = workspace), 'UTC'))::date
        - date '1970-01-01'
$$;

CREATE TABLE campaign_spending (
    campaign_id uuid NOT NULL,
    creator_id  uuid,
    day         integer,
    spent_minor bigint NOT NULL CHECK (spent_minor >= 0),
    UNIQUE NULLS NOT DISTINCT (campaign_id, creator_id, day)
);
COMMENT ON TABLE campaign_spending IS 'What campaigns with limits have paid, less what refunds took back: in all (NULL) or for one creator, in all (NULL) or on one day since 1970. One that has no limits yet has no rows.';
GRANT SELECT, INSERT, UPDATE (spent_minor) ON campaign_spending TO tributary_app;

CREATE TABLE rewarded_customers (
    campaign_id uuid NOT NULL,
    customer    uuid NOT NULL,
    event_id    uuid NOT NULL,
    batch_id    bigint NOT NULL REFERENCES batches (id),
    PRIMARY KEY (campaign_id, customer)
);
CREATE INDEX ON rewarded_customers (batch_id);
COMMENT ON TABLE rewarded_customers IS 'Whom campaigns that pay once a customer have paid for.';
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON rewarded_customers
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
GRANT SELECT, INSERT ON rewarded_customers TO tributary_app;
