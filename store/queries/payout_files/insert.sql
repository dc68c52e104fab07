INSERT INTO payout_files (payout_id, format, sha256, item_count, total_minor, actor)
VALUES ($1, $2, $3, $4, $5, $6)
