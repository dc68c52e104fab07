ALTER TABLE events
    ADD COLUMN IF NOT EXISTS device LowCardinality(String) COMMENT 'Sort of device: ios, android, desktop or other; empty if not looked at.' AFTER city,
    ADD COLUMN IF NOT EXISTS os LowCardinality(String) COMMENT 'Its system, by its user agent.' AFTER device,
    ADD COLUMN IF NOT EXISTS browser LowCardinality(String) COMMENT 'Its browser, by its user agent.' AFTER os;
