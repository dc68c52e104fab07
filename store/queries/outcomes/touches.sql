-- The clicks that the actions of batches were attributed by, or could have been. Every leg
-- of an action says the same of them but which one it is for. Weights may come close to
-- what 64 bits hold, and their sum beyond it.
SELECT DISTINCT
    o.workspace_id, (extract(epoch FROM o.at) * 1000)::bigint AS at_ms, o.event_id, o.kind, t.at_ms AS touched_at_ms,
    t.click AS click_id, t.link AS link_id, t.campaign AS campaign_id, t.creator AS creator_id,
    o.basis ->> 'model' AS model,
    coalesce(t.weight / nullif(sum(t.weight) OVER (PARTITION BY o.event_id, o.leg), 0), 0)::double precision AS share
FROM outcomes o
CROSS JOIN LATERAL json_to_recordset(o.basis -> 'touches')
    AS t (click uuid, link uuid, campaign uuid, creator uuid, at_ms bigint, weight numeric)
WHERE o.batch_id = ANY ($1) AND o.kind IN ('conversion', 'sale')
ORDER BY o.event_id, touched_at_ms, click_id
