-- The payout that a withdrawal is in, if the bank does not have its file yet: what
-- is in the file must stay on its way.
SELECT i.payout_id
FROM payout_items i
WHERE i.withdrawal_id = $1
    AND (SELECT s.status FROM payout_states s WHERE s.payout_id = i.payout_id
         ORDER BY s.sequence DESC LIMIT 1) IN ('proposed', 'approved')
