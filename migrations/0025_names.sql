-- What campaigns, links and people are called, on its way to ClickHouse, whose views show
-- names beside ids: whatever is called anew waits here.
CREATE TABLE names_due (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind     text NOT NULL CHECK (kind IN ('campaign', 'link', 'user')),
    named_id uuid NOT NULL
);
COMMENT ON TABLE names_due IS 'Campaigns, links and users whose names ClickHouse does not know yet.';
COMMENT ON COLUMN names_due.named_id IS 'The id of the campaign, link or user.';
GRANT SELECT, INSERT, DELETE ON names_due TO tributary_app;

CREATE FUNCTION name_is_due() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO names_due (kind, named_id) VALUES (TG_ARGV[0], NEW.id);
    RETURN NULL;
END
$$;
CREATE TRIGGER name_is_due AFTER INSERT OR UPDATE OF title ON campaigns
    FOR EACH ROW EXECUTE FUNCTION name_is_due('campaign');
CREATE TRIGGER name_is_due AFTER INSERT OR UPDATE OF code, destination_url ON tracking_links
    FOR EACH ROW EXECUTE FUNCTION name_is_due('link');
CREATE TRIGGER name_is_due AFTER INSERT OR UPDATE OF username, display_name ON users
    FOR EACH ROW EXECUTE FUNCTION name_is_due('user');

INSERT INTO names_due (kind, named_id)
SELECT 'campaign', id FROM campaigns
UNION ALL
SELECT 'link', id FROM tracking_links
UNION ALL
SELECT 'user', id FROM users;
