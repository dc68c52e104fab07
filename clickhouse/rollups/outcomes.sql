-- Outcomes by hour, creator, campaign and link.
SELECT
    {workspace:UUID} AS workspace_id,
    toDateTime(intDiv(ms, 3600000) * 3600, 'UTC') AS hour,
    creator_id,
    campaign_id,
    link_id,
    countIf(is_conversion AND legs = 1) AS conversions,
    groupUniqArrayIf(event_id, is_conversion AND legs > 1) AS shared_conversions,
    sum(revenue) AS revenue_minor,
    sum(earned) AS earnings_minor,
    {version:UInt64} AS version
FROM (SELECT *, count() OVER (PARTITION BY event_id) AS legs FROM counted_outcomes)
GROUP BY hour, creator_id, campaign_id, link_id
