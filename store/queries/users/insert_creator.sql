-- The role and the profile of a user who has just been inserted.
WITH role AS (
    INSERT INTO user_roles (user_id, role) VALUES ($1, 'creator')
)
INSERT INTO creator_profiles (user_id, hashtags) VALUES ($1, $2)
