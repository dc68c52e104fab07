-- Workspaces nothing of which is rolled up yet.
SELECT w.id, s.source
FROM workspaces w
CROSS JOIN (VALUES ('events'), ('outcomes')) AS s (source)
WHERE NOT EXISTS (SELECT FROM rollups r WHERE r.workspace_id = w.id AND r.source = s.source)
ORDER BY w.id, s.source
