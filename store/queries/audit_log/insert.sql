INSERT INTO audit_log (actor, action, entity_kind, entity_id, after)
VALUES ($1, $2, $3, $4, $5)
