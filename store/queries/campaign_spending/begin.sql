-- Campaigns that have limits from now on begin with what they have paid so far.
WITH new AS (
    SELECT campaign_id
    FROM unnest($1::uuid[]) AS asked (campaign_id)
    WHERE NOT EXISTS (SELECT FROM campaign_spending s WHERE s.campaign_id = asked.campaign_id)
), paid AS (
    -- What was taken back counts on the day of what it was taken of.
    SELECT o.campaign_id, o.creator_id, workspace_day(o.workspace_id, coalesce(s.at, o.at)) AS day,
        sum(o.gross_minor) AS minor
    FROM outcomes o
    JOIN new ON new.campaign_id = o.campaign_id
    LEFT JOIN outcomes s ON s.event_id = o.original_event_id AND s.leg = o.original_leg
    WHERE o.status = 'posted'
    GROUP BY 1, 2, 3
)
INSERT INTO campaign_spending (campaign_id, creator_id, day, spent_minor)
SELECT campaign_id, creator_id, day, sum(minor)
FROM paid
GROUP BY campaign_id, CUBE (creator_id, day)
UNION ALL
SELECT campaign_id, NULL, NULL, 0 FROM new WHERE campaign_id NOT IN (SELECT campaign_id FROM paid)
