-- A link may lead elsewhere while its campaign has no money left.
ALTER TABLE tracking_links
    ADD COLUMN leaves_exhausted boolean NOT NULL DEFAULT false,
    ADD CHECK (fallback_url IS NOT NULL OR NOT leaves_exhausted);
COMMENT ON COLUMN tracking_links.leaves_exhausted IS 'Leads to the fallback while the campaign''s budget is exhausted or closed.';

CREATE FUNCTION tell_collectors_of_budget() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('tributary_directory', 'link ' || code)
    FROM tracking_links
    WHERE campaign_id = NEW.campaign_id AND leaves_exhausted;
    RETURN NULL;
END $$;
CREATE TRIGGER tell_collectors AFTER UPDATE OF exhausted_at ON campaign_budgets
    FOR EACH ROW WHEN ((OLD.exhausted_at IS NULL) <> (NEW.exhausted_at IS NULL))
    EXECUTE FUNCTION tell_collectors_of_budget();
GRANT UPDATE (leaves_exhausted) ON tracking_links TO tributary_app;
