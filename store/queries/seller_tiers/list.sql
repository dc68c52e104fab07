SELECT workspace_id, seller_id, (extract(epoch FROM valid_from) * 1000)::bigint AS valid_from_ms, tier
FROM seller_tiers
ORDER BY seller_id, valid_from
