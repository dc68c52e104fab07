-- Whether the workspace has, or once had, such an account.
SELECT EXISTS (SELECT FROM social_accounts WHERE workspace_id = $1 AND id = $2)
