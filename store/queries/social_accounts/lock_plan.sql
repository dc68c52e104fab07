SELECT plan FROM social_accounts WHERE id = $1 FOR UPDATE
