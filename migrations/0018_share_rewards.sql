-- A supporter who shares a creator's link earns with it.
ALTER TABLE campaign_terms
    ADD COLUMN share_bps integer NOT NULL DEFAULT 0 CHECK (share_bps BETWEEN 0 AND 10000);
COMMENT ON COLUMN campaign_terms.share_bps IS 'What a supporter who shared the link gets on top: this share of what an action pays, out of the budget as well.';
