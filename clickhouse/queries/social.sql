-- What posts, accounts, creators or platforms had and gained, the most engaging first.
-- Engagement is what was gained of likes, comments, shares and saves; what it is a part
-- of is what was gained of that, or, of followers, how many there were at the end.
SELECT
    key.1 AS account,
    key.2 AS creator,
    key.3 AS platform,
    key.4 AS post,
    count() OVER () AS total,
    groupArray((metric, f.had)) AS had,
    groupArrayIf((metric, assumeNotNull(f.gained)), f.gained IS NOT NULL) AS gained,
    sumIf(f.gained, metric IN ('likes', 'comments', 'shares', 'saves')) AS engagement,
    sumIf(if({of:String} = 'followers', f.had, f.gained), metric = {of:String}) AS denominator
FROM
(
    SELECT
        (if({by:String} IN ('account', 'post'), toString(account_id), ''),
            if({by:String} = 'platform', '', toString(creator_id)),
            if({by:String} = 'creator', '', platform),
            post_id) AS key,
        metric,
        toInt64(sum(s.had)) AS had,
        sum(s.gained) AS gained
    FROM
    (
        SELECT account_id, creator_id, platform, post_id, metric, had, gained
        FROM social_gains
        WHERE {by:String} = 'post' AND post_id != ''
        UNION ALL
        SELECT account_id, creator_id, platform, post_id, metric, had, gained
        FROM social_by_account
        WHERE {by:String} != 'post'
    ) AS s
    WHERE {all_creators:Bool} OR creator_id = {creator:UUID}
    GROUP BY key, metric
) AS f
GROUP BY key
ORDER BY engagement DESC NULLS LAST, key
LIMIT {limit:UInt32} OFFSET {offset:UInt32}
