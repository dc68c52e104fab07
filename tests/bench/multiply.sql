-- Makes the books :copies + 1 times as large, and still right: every batch again,
-- further on in its partition, with outcomes and transactions of their own.
SET session_replication_role = replica;

CREATE TEMP TABLE copy AS SELECT generate_series(1, :copies) AS number;
CREATE TEMP TABLE span AS
SELECT topic, partition, max(last_offset) + 1 AS length FROM batches GROUP BY topic, partition;

INSERT INTO batches (id, topic, partition, first_offset, last_offset, outcome_count, transaction_count,
    line_count, previous_hash, hash) OVERRIDING SYSTEM VALUE
SELECT b.id + number * 1000000, b.topic, b.partition, b.first_offset + number * length,
    b.last_offset + number * length, outcome_count, transaction_count, line_count, previous_hash, hash
FROM batches b
JOIN span USING (topic, partition)
CROSS JOIN copy;
UPDATE consumer_offsets o
SET next_offset = next_offset * (:copies + 1)
FROM span s
WHERE s.topic = o.topic AND s.partition = o.partition;

INSERT INTO outcomes (event_id, leg, batch_id, workspace_id, kind, status, reason, campaign_id, creator_id,
    link_id, click_id, visitor, at, value_minor, value_currency, gross_minor, creator_minor, fee_minor,
    fee_bps, currency, transaction_id, payload_hash, basis, legs, order_key)
SELECT md5(event_id::text || number)::uuid, leg, batch_id + number * 1000000, workspace_id, kind, status,
    reason, campaign_id, creator_id, link_id, click_id, visitor, at, value_minor, value_currency,
    gross_minor, creator_minor, fee_minor, fee_bps, currency,
    (left(transaction_id::text, 13) || right(md5(transaction_id::text || number), 20))::uuid,
    payload_hash, basis, legs, order_key
FROM outcomes
CROSS JOIN copy;
INSERT INTO ledger_entries (transaction_id, line, account_id, amount_minor, currency)
SELECT (left(transaction_id::text, 13) || right(md5(transaction_id::text || number), 20))::uuid, line, account_id, amount_minor, currency
FROM ledger_entries
CROSS JOIN copy;
INSERT INTO ledger_transactions (id, batch_id, workspace_id, kind, source_id, leg, at)
SELECT (left(id::text, 13) || right(md5(id::text || number), 20))::uuid,
    batch_id + number * 1000000, workspace_id, kind,
    md5(source_id::text || number)::uuid, leg, at
FROM ledger_transactions
CROSS JOIN copy;
INSERT INTO fundings (id, batch_id, workspace_id, campaign_id, external_id, amount_minor, currency,
    payload_hash, at)
SELECT md5(id::text || number)::uuid, batch_id + number * 1000000, workspace_id, campaign_id,
    external_id || '-' || number, amount_minor, currency, payload_hash, at
FROM fundings
CROSS JOIN copy;

UPDATE ledger_accounts SET balance_minor = balance_minor * (:copies + 1);
UPDATE wallet_buckets SET amount_minor = amount_minor * (:copies + 1);
UPDATE campaign_budgets
SET funded_minor = funded_minor * (:copies + 1), available_minor = available_minor * (:copies + 1),
    spent_minor = spent_minor * (:copies + 1);
SET session_replication_role = DEFAULT;
ANALYZE;
