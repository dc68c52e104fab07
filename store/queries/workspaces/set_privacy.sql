UPDATE workspaces SET address_policy = $2, honour_opt_out = $3, cookie_days = $4 WHERE id = $1
