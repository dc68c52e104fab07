-- Draws a lot of clicks from a link's limit: a twentieth of what is left, at
-- least one, so that little is lost with a collector that is killed. No row: 
-- nothing is left, or there is no limit.
WITH link AS (
    SELECT id, click_limit FROM tracking_links WHERE id = $1 AND click_limit IS NOT NULL
),
made AS (
    INSERT INTO link_allowances (link_id)
    SELECT id FROM link
    ON CONFLICT (link_id) DO UPDATE SET drawn = link_allowances.drawn
    RETURNING link_id, drawn
),
lot AS (
    SELECT made.link_id, least(link.click_limit - made.drawn, greatest(1, (link.click_limit - made.drawn) / 20)) AS clicks
    FROM made
    JOIN link ON link.id = made.link_id
)
SELECT link_id, clicks FROM lot WHERE clicks > 0
