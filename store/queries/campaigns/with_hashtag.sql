SELECT id FROM campaigns WHERE workspace_id = $1 AND $2 = ANY (hashtags) ORDER BY id
