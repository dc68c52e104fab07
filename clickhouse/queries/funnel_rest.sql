-- Of each visitor, in order: moments and steps of what is not kept.
SELECT visitor, groupArray(ms * 65536 + steps) AS acts, '' AS key
FROM acts
WHERE steps != 0
GROUP BY visitor
ORDER BY visitor
