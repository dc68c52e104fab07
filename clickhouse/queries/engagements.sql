-- The engagement of each creator, where any is known. What happens on platforms is no
-- campaign's.
engagements AS
(
    SELECT creator_id, sumIf(s.gained, metric IN ('likes', 'comments', 'shares', 'saves')) AS engagement
    FROM social_by_account AS s
    WHERE {all_campaigns:Bool} AND ({all_creators:Bool} OR creator_id IN scope_creators)
    GROUP BY creator_id
    HAVING engagement IS NOT NULL
)
