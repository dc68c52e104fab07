-- Creators who are ranked among themselves.
CREATE TABLE cohorts (
    id           uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspaces (id),
    slug         text NOT NULL CHECK (slug ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    name         text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    created_at   timestamptz NOT NULL DEFAULT now(),
    UNIQUE (workspace_id, slug)
);
COMMENT ON TABLE cohorts IS 'Groups of a workspace''s creators, each with leaderboards of its own.';
CREATE TABLE cohort_members (
    cohort_id  uuid NOT NULL REFERENCES cohorts (id),
    creator_id uuid NOT NULL REFERENCES creator_profiles (user_id),
    joined_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (cohort_id, creator_id)
);
CREATE INDEX ON cohort_members (creator_id);
GRANT SELECT, INSERT ON cohorts TO tributary_app;
GRANT SELECT, INSERT, DELETE ON cohort_members TO tributary_app;
