-- Until when earnings of these workspaces and moments are held, in this order.
SELECT (extract(epoch FROM wallet_held_until(workspace_id, to_timestamp(earned_at_ms / 1000.0))) * 1000)::bigint
FROM unnest($1::uuid[], $2::bigint[]) WITH ORDINALITY AS asked (workspace_id, earned_at_ms, place)
ORDER BY place
