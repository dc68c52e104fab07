-- Of each visitor, in order: moments and steps of what is not kept; of those who took the
-- first step, unless that may be kept.
SELECT visitor, groupArray(ms * 65536 + steps) AS acts, '' AS key
FROM acts
WHERE steps != 0
GROUP BY visitor
HAVING {first_is_kept:Bool} OR groupBitOr(steps) % 2 = 1
ORDER BY visitor
