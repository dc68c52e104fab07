-- The role and the profile of a user who has just been inserted.
WITH role AS (
    INSERT INTO user_roles (user_id, role) VALUES ($1, 'business')
)
INSERT INTO business_profiles (user_id, company_name, website) VALUES ($1, $2, $3)
