SELECT coalesce(f.id, t.source_id)::text AS id,
    format('funding %s of %s, transactions %s', f.external_id, f.amount_minor, count(t.id)) AS detail
FROM fundings f
FULL JOIN (SELECT * FROM ledger_transactions WHERE kind = 'escrow') t ON t.source_id = f.id
GROUP BY f.id, t.source_id
HAVING f.id IS NULL OR count(t.id) <> 1
UNION ALL
SELECT b.campaign_id::text, format('funded %s, fundings sum to %s', b.funded_minor, sum(f.amount_minor))
FROM campaign_budgets b
LEFT JOIN fundings f ON f.campaign_id = b.campaign_id
GROUP BY b.campaign_id
HAVING b.funded_minor <> coalesce(sum(f.amount_minor), 0)
LIMIT 20
