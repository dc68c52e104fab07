-- What an action pays: the same each time, or a share of the order or its
-- articles.
ALTER TABLE campaign_terms ADD COLUMN pay jsonb;
ALTER TABLE campaign_terms DISABLE TRIGGER append_only;
UPDATE campaign_terms SET pay = jsonb_build_object('kind', 'fixed', 'amount_minor', payout_minor);
ALTER TABLE campaign_terms ENABLE TRIGGER append_only;
ALTER TABLE campaign_terms
    ALTER COLUMN pay SET NOT NULL,
    ADD CHECK (pay ->> 'kind' IN ('fixed', 'percent_of_order', 'percent_of_items')),
    DROP COLUMN payout_minor;
COMMENT ON COLUMN campaign_terms.pay IS 'What an action pays: kind, and amount_minor, or bps and by_sku.';
