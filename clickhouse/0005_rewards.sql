ALTER TABLE outcomes
    ADD COLUMN IF NOT EXISTS is_reward Bool COMMENT 'A reward for sharing the link of another leg, which is the action' AFTER other_minor;
