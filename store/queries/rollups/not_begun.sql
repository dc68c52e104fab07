-- Workspaces nothing of which is rolled up yet, or not into all tables.
SELECT w.id, s.source
FROM workspaces w
CROSS JOIN (VALUES ('events'), ('outcomes')) AS s (source)
WHERE NOT EXISTS (SELECT FROM rollups r WHERE r.workspace_id = w.id AND r.source = s.source AND r.made_for >= $1)
ORDER BY w.id, s.source
