-- What limited campaigns have spent, in all and for each creator, on each day
-- and in all, is what was posted; and no more than the highest cap of those that
-- were in force, where all were.
WITH paid AS (
    SELECT o.campaign_id, o.creator_id, workspace_day(o.workspace_id, coalesce(s.at, o.at)) AS day,
        o.gross_minor, t.limits
    FROM outcomes o
    LEFT JOIN outcomes s ON s.event_id = o.original_event_id AND s.leg = o.original_leg
    LEFT JOIN campaign_terms t
        ON t.campaign_id = o.campaign_id
        AND t.version = (coalesce(s.basis, o.basis) ->> 'terms_version')::integer
    WHERE o.status = 'posted'
        AND EXISTS (SELECT FROM campaign_spending l WHERE l.campaign_id = o.campaign_id)
), sums AS (
    SELECT campaign_id, creator_id, day, sum(gross_minor) AS minor,
        CASE
            WHEN creator_id IS NULL AND day IS NULL AND bool_and(limits ? 'campaign_total_minor')
                THEN max((limits ->> 'campaign_total_minor')::bigint)
            WHEN creator_id IS NULL AND day IS NOT NULL AND bool_and(limits ? 'campaign_day_minor')
                THEN max((limits ->> 'campaign_day_minor')::bigint)
            WHEN creator_id IS NOT NULL AND day IS NULL AND bool_and(limits ? 'creator_total_minor')
                THEN max((limits ->> 'creator_total_minor')::bigint)
            WHEN creator_id IS NOT NULL AND day IS NOT NULL AND bool_and(limits ? 'creator_day_minor')
                THEN max((limits ->> 'creator_day_minor')::bigint)
        END AS cap_minor
    FROM paid
    GROUP BY campaign_id, CUBE (creator_id, day)
)
SELECT coalesce(s.campaign_id, k.campaign_id)::text AS id,
    format('creator %s, day %s: spent %s, posted %s, cap %s', coalesce(s.creator_id, k.creator_id),
        coalesce(s.day, k.day), k.spent_minor, s.minor, s.cap_minor) AS detail
FROM sums s
FULL JOIN (SELECT *, (creator_id, day)::text AS of FROM campaign_spending) k
    ON k.campaign_id = s.campaign_id AND k.of = (s.creator_id, s.day)::text
WHERE coalesce(k.spent_minor, 0) <> coalesce(s.minor, 0) OR s.minor > s.cap_minor
