-- Makes the books :copies + 1 times as large, and still right: every batch again,
-- further on in its partition, with outcomes and transactions of their own, a
-- minute later each time.
SET session_replication_role = replica;

CREATE FUNCTION pg_temp.copy_of(id uuid, number integer) RETURNS uuid LANGUAGE sql AS $$
    SELECT (lpad(to_hex(('x' || left(replace(id::text, '-', ''), 12))::bit(48)::bigint + number * 60000), 12, '0')
        || right(md5(id::text || number), 20))::uuid
$$;

CREATE TEMP TABLE span AS
SELECT topic, partition, max(last_offset) + 1 AS length, max(id) AS last_id FROM batches GROUP BY topic, partition;
CREATE TEMP TABLE new_outcomes AS SELECT * FROM outcomes;
CREATE TEMP TABLE new_transactions AS SELECT * FROM ledger_transactions;
CREATE TEMP TABLE new_entries AS SELECT * FROM ledger_entries;

DO $$
BEGIN
    FOR number IN 1 .. :copies
    LOOP
        INSERT INTO batches (id, topic, partition, first_offset, last_offset, outcome_count,
            transaction_count, line_count, previous_hash, hash) OVERRIDING SYSTEM VALUE
        SELECT b.id + number * 1000000, b.topic, b.partition, b.first_offset + number * length,
            b.last_offset + number * length, outcome_count, transaction_count, line_count, previous_hash, hash
        FROM batches b
        JOIN span s ON s.topic = b.topic AND s.partition = b.partition AND b.id <= s.last_id;
        INSERT INTO outcomes (event_id, leg, batch_id, workspace_id, kind, status, reason, campaign_id,
            creator_id, link_id, click_id, visitor, at, value_minor, value_currency, gross_minor,
            creator_minor, fee_minor, fee_bps, currency, transaction_id, payload_hash, basis, legs, order_key)
        SELECT pg_temp.copy_of(event_id, number), leg, batch_id + number * 1000000, workspace_id, kind, status,
            reason, campaign_id, creator_id, link_id, click_id, visitor, at + number * interval '1 minute',
            value_minor, value_currency, gross_minor, creator_minor, fee_minor, fee_bps, currency,
            pg_temp.copy_of(transaction_id, number), payload_hash, basis, legs, order_key
        FROM new_outcomes;
        INSERT INTO ledger_entries (transaction_id, line, account_id, amount_minor, currency)
        SELECT pg_temp.copy_of(transaction_id, number), line, account_id, amount_minor, currency
        FROM new_entries;
        INSERT INTO ledger_transactions (id, batch_id, workspace_id, kind, source_id, leg, at)
        SELECT pg_temp.copy_of(id, number), batch_id + number * 1000000, workspace_id, kind,
            CASE kind WHEN 'escrow' THEN md5(source_id::text || number)::uuid
                ELSE pg_temp.copy_of(source_id, number) END, leg, at + number * interval '1 minute'
        FROM new_transactions;
        INSERT INTO fundings (id, batch_id, workspace_id, campaign_id, external_id, amount_minor, currency,
            payload_hash, at)
        SELECT md5(id::text || number)::uuid, batch_id + number * 1000000, workspace_id, campaign_id,
            external_id || '-' || number, amount_minor, currency, payload_hash, at
        FROM fundings
        WHERE batch_id <= (SELECT max(last_id) FROM span);
    END LOOP;
END
$$;

UPDATE consumer_offsets o
SET next_offset = next_offset * (:copies + 1)
FROM span s
WHERE s.topic = o.topic AND s.partition = o.partition;
UPDATE ledger_accounts SET balance_minor = balance_minor * (:copies + 1);
UPDATE wallet_buckets SET amount_minor = amount_minor * (:copies + 1);
UPDATE campaign_budgets
SET funded_minor = funded_minor * (:copies + 1), available_minor = available_minor * (:copies + 1),
    spent_minor = spent_minor * (:copies + 1);
SET session_replication_role = DEFAULT;
ANALYZE;
