-- Creators by one metric, a page of them. Equal values share a rank, and the next
-- rank counts them all (1, 2, 2, 4); among them the id decides, as a text: UUIDs
-- themselves are ordered by their second half here. Who has no such figure, as
-- there is nothing to divide by, has no rank.
SELECT
    rank() OVER (ORDER BY value DESC) AS rank,
    count() OVER () AS total,
    assumeNotNull(by_metric[{metric:String}]) AS value,
    creator_id,
    clicks,
    unique_clicks,
    repeated_clicks,
    bot_clicks,
    conversions,
    conversion_rate,
    revenue_minor,
    earnings_minor,
    earnings_per_click_minor
FROM creator_figures
WHERE by_metric[{metric:String}] IS NOT NULL
ORDER BY rank, toString(creator_id)
LIMIT {limit:UInt32} OFFSET {offset:UInt32}
