UPDATE link_allowances SET drawn = drawn + $2 WHERE link_id = $1
