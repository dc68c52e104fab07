-- Whether a funding or closing has been posted ('posted'), refused ('quarantined'), or
-- neither yet (no row).
SELECT 'posted' AS state, '' AS reason FROM fundings WHERE id = $1 AND payload_hash = $2
UNION ALL
SELECT 'posted', '' FROM closings WHERE id = $1 AND payload_hash = $2
UNION ALL
SELECT 'quarantined', reason FROM quarantined_commands WHERE id = $1 AND payload_hash = $2
LIMIT 1
