-- What posts, accounts, creators or platforms had and gained, the most engaging first.
-- Engagement is what was gained of likes, comments, shares and saves; what it is a part
-- of is what was gained of that, or, of followers, how many there were at the end: of
-- posts or accounts of which both are known. An account that was removed has nothing at
-- the end; what it gained before, it gained.
SELECT
    key.1 AS account,
    key.2 AS creator,
    key.3 AS platform,
    key.4 AS post,
    count() OVER () AS total,
    groupArrayIf((f.metric, assumeNotNull(f.had)), f.had IS NOT NULL) AS had,
    groupArrayIf((f.metric, assumeNotNull(f.gained)), f.gained IS NOT NULL) AS gained,
    sum(f.engagement) AS engagement,
    sum(f.rated) AS rated,
    sum(f.denominator) AS denominator
FROM
(
    SELECT
        key,
        metric,
        sum(e.had) AS had,
        sum(e.gained) AS gained,
        -- Once for each post or account, however many figures are known of it.
        sumIf(e.engagement, is_first) AS engagement,
        sumIf(e.engagement, is_first AND e.denominator IS NOT NULL) AS rated,
        sumIf(e.denominator, is_first AND e.engagement IS NOT NULL) AS denominator
    FROM
    (
        SELECT
            (if({by:String} IN ('account', 'post'), toString(account_id), ''),
                if({by:String} = 'platform', '', toString(creator_id)),
                if({by:String} = 'creator', '', platform),
                post_id) AS key,
            metric,
            s.had AS had,
            s.gained AS gained,
            sumIf(s.gained, metric IN ('likes', 'comments', 'shares', 'saves'))
                OVER (PARTITION BY account_id, post_id) AS engagement,
            sumIf(if({of:String} = 'followers', s.had, s.gained), metric = {of:String})
                OVER (PARTITION BY account_id, post_id) AS denominator,
            row_number() OVER (PARTITION BY account_id, post_id ORDER BY metric) = 1 AS is_first
        FROM
        (
            SELECT account_id, creator_id, platform, post_id, metric, gained, toNullable(g.had) AS had
            FROM social_gains AS g
            WHERE {by:String} = 'post' AND post_id != ''
            UNION ALL
            SELECT
                account_id, creator_id, platform, post_id, metric, gained,
                if(indexOf(removed, toString(account_id)) > 0
                    AND removed_ms[indexOf(removed, toString(account_id))] < {to_ms:Int64}, NULL, b.had) AS had
            FROM social_by_account AS b
            WHERE {by:String} != 'post'
        ) AS s
        WHERE {all_creators:Bool} OR creator_id = {creator:UUID}
    ) AS e
    GROUP BY key, metric
) AS f
GROUP BY key
ORDER BY engagement DESC NULLS LAST, key
LIMIT {limit:UInt32} OFFSET {offset:UInt32}
