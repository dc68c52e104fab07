-- From which sum on a tax form is due, as of a calendar year. Tributary knows no
-- tax law: whoever answers for the books sets these.
CREATE TABLE tax_thresholds (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspaces (id),
    form         text NOT NULL CHECK (length(form) BETWEEN 1 AND 64),
    currency     char(3) NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    from_year    smallint NOT NULL CHECK (from_year BETWEEN 2000 AND 9999),
    amount_minor bigint NOT NULL CHECK (amount_minor >= 0),
    actor        text NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON tax_thresholds (workspace_id, form, currency, from_year);
COMMENT ON TABLE tax_thresholds IS 'Per form and currency, the threshold from a year on, until one of a later year; of several for one year the last row counts.';
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON tax_thresholds
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
GRANT SELECT, INSERT ON tax_thresholds TO tributary_app;
