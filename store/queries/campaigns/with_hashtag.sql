-- Whichever way it is written: #Spring is spring.
SELECT id
FROM campaigns
WHERE workspace_id = $1
    AND lower(ltrim($2, '#')) IN (SELECT lower(ltrim(hashtag, '#')) FROM unnest(hashtags) AS hashtag)
ORDER BY id
