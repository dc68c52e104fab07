ALTER TABLE leaderboard_snapshots
    COMMENT COLUMN IF EXISTS metric 'clicks, unique_clicks, conversions, conversion_rate, revenue, earnings, earnings_per_click or engagement'
