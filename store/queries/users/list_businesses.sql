SELECT u.id, u.email, u.username, p.company_name, p.website
FROM users u
JOIN business_profiles p ON p.user_id = u.id
WHERE u.workspace_id = $1
ORDER BY u.username
