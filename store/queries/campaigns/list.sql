WITH current_terms AS (
    SELECT DISTINCT ON (campaign_id) *
    FROM campaign_terms
    WHERE valid_from <= clock_timestamp() OR version = 1
    ORDER BY campaign_id, version DESC
)
SELECT
    c.id,
    c.title,
    c.objective,
    c.currency::text AS currency,
    c.hashtags,
    -- A campaign that has used up its money is over, whatever its terms say.
    CASE WHEN b.exhausted_at IS NOT NULL THEN 'completed' ELSE t.status END AS status,
    t.version AS terms_version,
    t.pay,
    t.fee_bps,
    t.window_ms,
    t.min_delay_ms,
    t.model,
    t.limits,
    t.share_bps,
    -- A policy may hide them.
    b.funded_minor AS total_budget_minor,
    b.available_minor AS remaining_budget_minor,
    b.spent_minor,
    b.returned_minor,
    (extract(epoch FROM b.closed_at) * 1000)::bigint AS closed_at_ms,
    (extract(epoch FROM b.exhausted_at) * 1000)::bigint AS exhausted_at_ms
FROM campaigns c
JOIN current_terms t ON t.campaign_id = c.id
LEFT JOIN campaign_budgets b ON b.campaign_id = c.id
WHERE c.workspace_id = $1 AND ($2::uuid IS NULL OR c.id = $2)
ORDER BY c.created_at, c.id
