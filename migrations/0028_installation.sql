-- Which installation this is: two that load into the same tables of ClickHouse would each
-- find rows there that their books know nothing of.
CREATE TABLE installation (
    id     uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    is_one boolean NOT NULL DEFAULT true UNIQUE CHECK (is_one)
);
COMMENT ON TABLE installation IS 'Which installation of Tributary this is; one row. The tables in ClickHouse say whose they are.';
COMMENT ON COLUMN installation.id IS 'Drawn when the table was made.';
COMMENT ON COLUMN installation.is_one IS 'True: there is one row.';
INSERT INTO installation DEFAULT VALUES;
GRANT SELECT ON installation TO tributary_app;
