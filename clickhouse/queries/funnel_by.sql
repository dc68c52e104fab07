-- The same, with what was known when they first took it.
SELECT visitor, groupArray(ms * 65536 + steps) AS acts, argMinIf(known, (ms, event_id), steps % 2 = 1) AS key
FROM acts
WHERE steps != 0
GROUP BY visitor
HAVING groupBitOr(steps) % 2 = 1
