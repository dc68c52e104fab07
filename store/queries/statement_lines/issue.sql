-- What changed what a creator is owed before $5, and is on no statement yet.
-- What is in transit is still owed; what has arrived is not.
INSERT INTO statement_lines (statement_id, line, transaction_id, kind, at, amount_minor, detail)
SELECT $1, row_number() OVER (ORDER BY t.id), t.id,
    CASE
        WHEN t.kind IN ('campaign', 'payment', 'escrow') THEN 'credit'
        WHEN t.kind = 'refund' THEN 'clawback'
        ELSE 'paid'
    END,
    t.at, changed.amount_minor,
    jsonb_strip_nulls(jsonb_build_object(
        'event_id', o.event_id, 'action', o.kind, 'campaign', c.title, 'gross_minor', o.gross_minor,
        'fee_minor', o.fee_minor, 'processor_fee_minor', nullif(o.other_minor, 0), 'refund_id', o.refund_id, 'of_event_id', o.original_event_id,
        'method', w.method, 'external_id', coalesce(w.external_id, f.external_id)))
FROM (
    SELECT e.transaction_id, sum(e.amount_minor) AS amount_minor
    FROM ledger_entries e
    JOIN ledger_accounts a ON a.id = e.account_id
    WHERE a.workspace_id = $2 AND a.owner_id = $3 AND a.currency = $4
        AND a.kind IN ('creator_pending', 'creator_available', 'creator_in_transit', 'creator_debt')
        AND NOT EXISTS (SELECT FROM statement_lines s WHERE s.transaction_id = e.transaction_id)
    GROUP BY e.transaction_id
    HAVING sum(e.amount_minor) <> 0
) changed
JOIN ledger_transactions t ON t.id = changed.transaction_id
LEFT JOIN outcomes o ON t.kind IN ('campaign', 'payment', 'refund') AND o.event_id = t.source_id AND o.leg = t.leg
LEFT JOIN fundings f ON t.kind = 'escrow' AND f.id = t.source_id
LEFT JOIN campaigns c ON c.id = coalesce(o.campaign_id, f.campaign_id)
LEFT JOIN withdrawals w ON w.id = t.source_id
WHERE t.at < to_timestamp($5::bigint / 1000.0)
