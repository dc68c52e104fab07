-- An empty bucket has no transaction.
UPDATE wallet_buckets b
SET released_at = to_timestamp($1::bigint / 1000.0), transaction_id = done.transaction_id
FROM unnest($2::uuid[], $3::uuid[]) AS done (id, transaction_id)
WHERE b.id = done.id
