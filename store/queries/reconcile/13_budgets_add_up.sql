SELECT b.campaign_id::text AS id,
    format('funded %s, available %s, spent %s, returned %s; escrow account %s', b.funded_minor,
        b.available_minor, b.spent_minor, b.returned_minor, a.balance_minor) AS detail
FROM campaign_budgets b
LEFT JOIN ledger_accounts a
    ON a.kind = 'campaign_escrow' AND a.owner_id = b.campaign_id AND a.currency = b.currency
WHERE b.funded_minor <> b.available_minor + b.spent_minor + b.returned_minor
    OR b.available_minor < 0
    OR b.available_minor > b.funded_minor
    -- One that was closed unfunded has no account.
    OR coalesce(a.balance_minor, 0) <> b.available_minor
