-- What links can do beyond leading to one address, what a workspace keeps of
-- its visitors, and telling collectors at once of what has changed.

ALTER TABLE tracking_links
    ADD COLUMN click_limit bigint CHECK (click_limit > 0),
    ADD COLUMN pass_query  boolean NOT NULL DEFAULT false,
    ADD COLUMN rules       jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(rules) = 'array'),
    ADD COLUMN variants    jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(variants) = 'array');
COMMENT ON COLUMN tracking_links.click_limit IS 'People''s clicks that are led to the destination; later ones go to the fallback. NULL: no limit.';
COMMENT ON COLUMN tracking_links.pass_query IS 'Whether the query of the short address is added to the destination''s.';
COMMENT ON COLUMN tracking_links.rules IS 'Destinations for countries and devices; the first that matches holds.';
COMMENT ON COLUMN tracking_links.variants IS 'Weighted destinations; a visitor keeps theirs.';
GRANT UPDATE (destination_url, fallback_url, expires_at, click_limit, pass_query, rules, variants)
    ON tracking_links TO tributary_app;

-- Collectors draw clicks from a link's limit in small lots, so that a limit
-- holds exactly however many collectors there are.
CREATE TABLE link_allowances (
    link_id uuid PRIMARY KEY REFERENCES tracking_links (id),
    drawn   bigint NOT NULL DEFAULT 0 CHECK (drawn >= 0)
);
COMMENT ON TABLE link_allowances IS 'How many clicks of a link''s limit have been handed to collectors.';
GRANT SELECT, INSERT, UPDATE ON link_allowances TO tributary_app;

ALTER TABLE workspaces
    ADD COLUMN address_policy text NOT NULL DEFAULT 'truncate' CHECK (address_policy IN ('truncate', 'hash', 'drop')),
    ADD COLUMN honour_opt_out boolean NOT NULL DEFAULT true,
    ADD COLUMN cookie_days    integer NOT NULL DEFAULT 365 CHECK (cookie_days BETWEEN 0 AND 400);
COMMENT ON COLUMN workspaces.address_policy IS 'What is kept of a visitor''s address: its network (v4 /24, v6 /48), a hash that cannot be repeated the next day, or nothing.';
COMMENT ON COLUMN workspaces.honour_opt_out IS 'Whether DNT and Sec-GPC keep a visitor from being known again.';
COMMENT ON COLUMN workspaces.cookie_days IS 'How long the visitor cookie lasts; 0: none is set.';
GRANT UPDATE (address_policy, honour_opt_out, cookie_days) ON workspaces TO tributary_app;

-- What addresses are hashed with for one day. Deleted afterwards, so that
-- nobody can find an address to a hash again.
CREATE TABLE daily_salts (
    day  date PRIMARY KEY,
    salt bytea NOT NULL CHECK (octet_length(salt) >= 16)
);
GRANT SELECT, INSERT, DELETE ON daily_salts TO tributary_app;

GRANT UPDATE (retired_at) ON signing_keys TO tributary_app;
COMMENT ON COLUMN signing_keys.retired_at IS 'From then on tokens signed with it are refused. May lie ahead: the key then only verifies.';

CREATE FUNCTION tell_collectors() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed record := coalesce(NEW, OLD);
BEGIN
    -- Collectors forget what they know of it, and ask again.
    PERFORM pg_notify('tributary_directory', CASE TG_TABLE_NAME
        WHEN 'tracking_links' THEN 'link ' || (to_jsonb(changed) ->> 'code')
        WHEN 'api_keys' THEN 'keys'
        WHEN 'signing_keys' THEN 'signing_keys'
        ELSE 'everything'
    END);
    RETURN NULL;
END $$;
CREATE TRIGGER tell_collectors AFTER INSERT OR UPDATE OR DELETE ON tracking_links
    FOR EACH ROW EXECUTE FUNCTION tell_collectors();
CREATE TRIGGER tell_collectors AFTER INSERT OR UPDATE OR DELETE ON api_keys
    FOR EACH ROW EXECUTE FUNCTION tell_collectors();
CREATE TRIGGER tell_collectors AFTER INSERT OR UPDATE OR DELETE ON signing_keys
    FOR EACH ROW EXECUTE FUNCTION tell_collectors();
CREATE TRIGGER tell_collectors AFTER UPDATE ON workspaces
    FOR EACH ROW EXECUTE FUNCTION tell_collectors();
