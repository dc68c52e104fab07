SELECT version, hold_days, minimum_withdrawal_minor, required_documents
FROM workspace_policies
WHERE workspace_id = $1 AND valid_from <= clock_timestamp()
ORDER BY version DESC
LIMIT 1
