SELECT count(*)
FROM outcomes
