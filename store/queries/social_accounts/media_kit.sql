-- What a creator shows everybody.
SELECT platform, external_id, handle, (extract(epoch FROM captured_at) * 1000)::bigint AS captured_at_ms, figures
FROM social_accounts
WHERE creator_id = $1 AND is_published AND deleted_at IS NULL AND figures IS NOT NULL
ORDER BY platform, external_id
