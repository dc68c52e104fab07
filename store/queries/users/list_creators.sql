SELECT u.id, u.email, u.username, u.display_name, p.hashtags
FROM users u
JOIN creator_profiles p ON p.user_id = u.id
WHERE u.workspace_id = $1
ORDER BY u.username
