-- Each hashtag with each campaign that has it: #Spring is spring.
SELECT DISTINCT lower(ltrim(hashtag, '#')) AS hashtag, c.id
FROM campaigns c
CROSS JOIN unnest(c.hashtags) AS hashtag
WHERE c.workspace_id = $1
ORDER BY hashtag, c.id
