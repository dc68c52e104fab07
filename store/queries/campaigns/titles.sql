SELECT id, title FROM campaigns WHERE id = ANY ($1)
