SELECT count(*)
FROM quarantined_commands
WHERE workspace_id = $1
