-- Of each visitor who took the first step: moments and steps, the steps in the lower 16 bits.
SELECT visitor, groupArray(ms * 65536 + steps) AS acts, '' AS key
FROM acts
WHERE steps != 0
GROUP BY visitor
HAVING groupBitOr(steps) % 2 = 1
