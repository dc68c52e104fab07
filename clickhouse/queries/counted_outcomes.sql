CAST(CAST(? AS Array(Int64)) AS Array(DateTime('UTC'))) AS asked_outcome_hours,
-- What was earned in some hours, a row for each leg. Rewards for sharing are supporters'.
counted_outcomes AS
(
    SELECT
        creator_id,
        campaign_id,
        link_id,
        toUnixTimestamp64Milli(at) AS ms,
        event_id,
        kind IN ('conversion', 'sale') AND status IN ('posted', 'rejected_budget') AS is_conversion,
        if((kind = 'sale' AND status = 'posted' OR kind = 'refund' AND campaign_id != toUUID('00000000-0000-0000-0000-000000000000'))
            AND value_currency = {currency:String}, value_minor, 0) AS revenue,
        if(currency = {currency:String}, creator_minor, 0) AS earned
    FROM outcomes FINAL
    WHERE workspace_id = {workspace:UUID} AND creator_id != toUUID('00000000-0000-0000-0000-000000000000') AND NOT is_reward
        AND at >= fromUnixTimestamp64Milli({from_ms:Int64}) AND at < fromUnixTimestamp64Milli({to_ms:Int64})
        AND ({all_outcome_hours:Bool} OR toStartOfHour(at) IN asked_outcome_hours)
)
