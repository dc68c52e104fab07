-- What accounts and posts had at the end of a time, each figure as it was last known, and
-- what they gained within it: since the last reading at or before its beginning; from 0,
-- where a post was published within it; else since the first reading there is. Where
-- nothing was read within it, or only once and nothing before, nobody can tell.
social_gains AS
(
    SELECT
        account_id,
        creator_id,
        platform,
        post_id,
        metric,
        argMax(value, at_ms) AS had,
        multiIf(
            countIf(at_ms > {from_ms:Int64}) = 0, NULL,
            countIf(at_ms <= {from_ms:Int64}) > 0, had - argMaxIf(value, at_ms, at_ms <= {from_ms:Int64}),
            max(published_ms) >= {from_ms:Int64}, had,
            count() > 1, had - argMin(value, at_ms),
            NULL) AS gained
    FROM readings
    GROUP BY account_id, creator_id, platform, post_id, metric
),
-- The same of accounts: each figure as they themselves were read, if they ever were, else
-- as the sum of their posts.
social_by_account AS
(
    SELECT
        account_id,
        creator_id,
        platform,
        '' AS post_id,
        metric,
        if(countIf(g.post_id = '') > 0, anyIf(g.had, g.post_id = ''), sum(g.had)) AS had,
        if(countIf(g.post_id = '') > 0, anyIf(g.gained, g.post_id = ''), sum(g.gained)) AS gained
    FROM social_gains AS g
    GROUP BY account_id, creator_id, platform, metric
)
