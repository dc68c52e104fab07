-- Takes those that have waited longest out of the table, for whoever brings their names to
-- ClickHouse before this transaction ends.
WITH taken AS (
    DELETE FROM names_due
    WHERE id IN (SELECT id FROM names_due ORDER BY id LIMIT $1)
    RETURNING kind, named_id
),
named AS (SELECT DISTINCT kind, named_id AS id FROM taken)
SELECT c.workspace_id, n.kind, n.id, c.title AS name, '' AS code
FROM named n
JOIN campaigns c ON n.kind = 'campaign' AND c.id = n.id
UNION ALL
SELECT l.workspace_id, n.kind, n.id, l.destination_url, l.code
FROM named n
JOIN tracking_links l ON n.kind = 'link' AND l.id = n.id
UNION ALL
SELECT u.workspace_id, n.kind, n.id, u.display_name, u.username
FROM named n
JOIN users u ON n.kind = 'user' AND u.id = n.id
