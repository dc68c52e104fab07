SELECT campaign_id, spent_minor FROM campaign_budgets
