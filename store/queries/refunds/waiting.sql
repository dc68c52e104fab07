-- Refunds that wait for the sales of these orders, in the order they came.
SELECT refund
FROM refunds
WHERE order_key = ANY ($1) AND resolved_at IS NULL
ORDER BY received_at, event_id, payload_hash
