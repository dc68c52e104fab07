//! The schema itself: types, indexes, privileges, and migrating it.

use domain::command::{Command, Funding};
use domain::ids::{CampaignId, WorkspaceId};
use domain::money::{Currency, Money};
use processors::settlement::{Range, settle_batch};
use tests::{Stack, World};
use uuid::Uuid;

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_keeps_its_rules() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let owner = store::connect(&stack.database_url("tributary", "tributary"), 2).await?;
    for (what, query) in [
        (
            "a money column that is not bigint",
            "SELECT table_name || '.' || column_name FROM information_schema.columns
             WHERE table_schema = 'public' AND column_name LIKE '%\\_minor' AND data_type <> 'bigint'",
        ),
        (
            "a column of floating point",
            "SELECT table_name || '.' || column_name FROM information_schema.columns
             WHERE table_schema = 'public' AND data_type IN ('real', 'double precision')",
        ),
        (
            "a foreign key without an index",
            "SELECT c.conrelid::regclass || ' ' || c.conname FROM pg_constraint c
             WHERE c.contype = 'f' AND c.connamespace = 'public'::regnamespace AND NOT EXISTS (
                SELECT 1 FROM pg_index i WHERE i.indrelid = c.conrelid
                AND (i.indkey::int2[])[0:cardinality(c.conkey) - 1] @> c.conkey)",
        ),
    ] {
        let found = store::migrate::strings(&owner, query).await?;
        assert!(found.is_empty(), "{what}: {found:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_application_cannot_rewrite_the_books() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let app = store::connect(&stack.database_url("tributary_app", "tributary"), 1).await?;
    let owner = store::connect(&stack.database_url("tributary", "tributary"), 1).await?;
    let kept = [
        ("batches", "hash = hash"),
        ("outcomes", "reason = reason"),
        ("ledger_transactions", "kind = kind"),
        ("ledger_entries", "amount_minor = 1"),
        ("fundings", "amount_minor = 1"),
        ("quarantined_commands", "reason = reason"),
        ("campaign_terms", "fee_bps = 1"),
        ("audit_log", "actor = actor"),
        ("workspace_policies", "hold_days = 1"),
        ("withdrawals", "amount_minor = 1"),
        ("withdrawal_states", "status = status"),
        ("creator_documents", "status = status"),
        ("payout_holds", "is_on_hold = false"),
        ("payout_accounts", "actor = actor"),
        ("payout_origins", "origin = origin"),
        ("payouts", "total_minor = 1"),
        ("payout_states", "actor = actor"),
        ("payout_items", "amount_minor = 1"),
        ("payout_files", "total_minor = 1"),
        ("payment_terms", "rates = '{}'"),
        ("rewarded_customers", "customer = campaign_id"),
        ("seller_tiers", "tier = 'x'"),
        ("closings", "amount_minor = 1"),
        ("statements", "closing_minor = 1"),
        ("statement_lines", "amount_minor = 1"),
        ("tax_thresholds", "amount_minor = 1"),
    ];
    for (table, change) in kept {
        for statement in [
            format!("UPDATE {table} SET {change}"),
            format!("DELETE FROM {table}"),
            format!("TRUNCATE {table} CASCADE"),
        ] {
            let error = store::migrate::execute(&app, &statement).await.unwrap_err().to_string();
            assert!(error.contains("permission denied"), "{statement}: {error}");
            // Not even the owner, without taking the trigger away first.
            let error = store::migrate::execute(&owner, &statement).await.unwrap_err().to_string();
            assert!(error.contains("append-only"), "{statement}: {error}");
        }
    }
    let unbalanced =
        "WITH b AS (INSERT INTO batches (topic, partition, first_offset, last_offset, outcome_count,
            transaction_count, line_count, previous_hash, hash)
            VALUES ('x', 0, 0, 0, 0, 0, 0, decode(repeat('00', 32), 'hex'), decode(repeat('00', 32), 'hex'))
            RETURNING id),
        a AS (INSERT INTO ledger_accounts (id, workspace_id, kind, owner_id, currency)
            SELECT gen_random_uuid(), gen_random_uuid(), kind, gen_random_uuid(), 'USD'
            FROM unnest(ARRAY['cash', 'campaign_escrow']) AS kind RETURNING id),
        t AS (INSERT INTO ledger_transactions (id, batch_id, workspace_id, kind, source_id, leg, at)
            SELECT gen_random_uuid(), b.id, gen_random_uuid(), 'escrow', gen_random_uuid(), 0, now() FROM b
            RETURNING id)
        INSERT INTO ledger_entries (transaction_id, line, account_id, amount_minor, currency)
        SELECT t.id, (row_number() OVER ())::int - 1, a.id, 5, 'USD' FROM t, a";
    let error = store::migrate::execute(&app, unbalanced).await.unwrap_err().to_string();
    assert!(error.contains("does not balance"), "{error}");
    Ok(())
}

/// Rows by the million refer to a batch and to accounts without a foreign key.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_books_refer_to_is_there_and_stays() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let app = store::connect(&stack.database_url("tributary_app", "tributary"), 1).await?;
    let owner = store::connect(&stack.database_url("tributary", "tributary"), 1).await?;
    let world = World::create(&stack, "referred").await?;
    world.campaign("click", 5, 1_000).await?;
    let entries = "INSERT INTO ledger_entries (transaction_id, line, account_id, amount_minor, currency)
        SELECT transaction_id, line + 5";
    let refused = [
        (
            format!("{entries}, gen_random_uuid(), amount_minor, currency FROM ledger_entries"),
            "refer to account",
        ),
        (
            format!("{entries}, account_id, amount_minor, 'EUR' FROM ledger_entries"),
            "in EUR, which there is not",
        ),
        (
            "INSERT INTO ledger_transactions (id, batch_id, workspace_id, kind, source_id, leg, at)
             SELECT gen_random_uuid(), -1, workspace_id, kind, source_id, leg, at FROM ledger_transactions"
                .to_owned(),
            "refer to batch -1",
        ),
        (
            "INSERT INTO outcomes (event_id, leg, batch_id, workspace_id, kind, status, reason, visitor, at,
                payload_hash, basis)
             SELECT gen_random_uuid(), 0, -1, gen_random_uuid(), 'click', 'nonpayable', 'bot',
                decode(repeat('00', 16), 'hex'), now(), '', '{}'"
                .to_owned(),
            "refer to batch -1",
        ),
    ];
    for (statement, says) in refused {
        for pool in [&app, &owner] {
            let error = store::migrate::execute(pool, &statement).await.unwrap_err().to_string();
            assert!(error.contains(says), "{statement}: {error}");
        }
    }
    for change in [
        "DELETE FROM ledger_accounts",
        "TRUNCATE ledger_accounts CASCADE",
        "UPDATE ledger_accounts SET kind = kind",
        "UPDATE ledger_accounts SET currency = currency",
    ] {
        let error = store::migrate::execute(&app, change).await.unwrap_err().to_string();
        assert!(error.contains("permission denied"), "{change}: {error}");
        let error = store::migrate::execute(&owner, change).await.unwrap_err().to_string();
        assert!(error.contains("append-only"), "{change}: {error}");
    }
    Ok(())
}

/// The ledger is partitioned by its transactions' own time, and each partition is
/// guarded as the whole is.
#[tokio::test(flavor = "multi_thread")]
async fn the_ledgers_months_are_guarded() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let app = store::connect(&stack.database_url("tributary_app", "tributary"), 1).await?;
    let owner = store::connect(&stack.database_url("tributary", "tributary"), 1).await?;
    let world = World::create(&stack, "months").await?;
    world.campaign("click", 5, 1_000).await?;
    // Long ago, in two months, and long after; a funding has the time it is told.
    let topic = "months";
    let mut offset = store::offsets::next_offset(&app, topic, 0).await?;
    let now_ms = runtime::clock::now_ms();
    for (number, at_ms) in [(1_u128, 1_000_000_000_000), (2, now_ms + 61 * DAY_MS), (3, 4_000_000_000_000)] {
        let funding = Command::Fund(Funding {
            external_id: number.to_string(),
            workspace: WorkspaceId(world.workspace),
            campaign: CampaignId(Uuid::from_u128(number)),
            money: Money { amount_minor: 5, currency: Currency::new("USD")? },
            at_ms,
            boost: None,
        });
        let range = Range { topic, partition: 0, first_offset: offset, last_offset: offset };
        settle_batch(&app, range, &[funding]).await?;
        offset += 1;
    }
    let placed = "SELECT (t.tableoid::regclass = to_regclass('ledger_transactions' || CASE
            WHEN to_regclass('ledger_transactions' || to_char(t.at AT TIME ZONE 'UTC', '_YYYY_MM')) IS NULL
            THEN '_default' ELSE to_char(t.at AT TIME ZONE 'UTC', '_YYYY_MM') END)
            AND replace(e.tableoid::regclass::text, 'entries', 'transactions') = t.tableoid::regclass::text)::text
        FROM ledger_transactions t
        JOIN ledger_entries e ON e.transaction_id = t.id";
    let placed = store::migrate::strings(&owner, placed).await?;
    assert_eq!(placed, ["true"; 8], "each is in its month, or in the default partition");
    let used = "SELECT count(DISTINCT tableoid)::text FROM ledger_entries";
    assert_eq!(store::migrate::strings(&owner, used).await?, ["3"]);
    // A second run makes nothing new; months ahead are made once.
    assert_eq!(store::ledger::ensure_partitions(&app, 3).await?, 0);
    assert!(store::ledger::ensure_partitions(&app, 16).await? > 0);
    assert_eq!(store::ledger::ensure_partitions(&app, 16).await?, 0);

    let partitions = "SELECT inhrelid::regclass::text FROM pg_inherits
        WHERE inhparent IN ('ledger_entries'::regclass, 'ledger_transactions'::regclass)";
    let partitions = store::migrate::strings(&owner, partitions).await?;
    assert!(partitions.len() > 30, "{partitions:?}");
    for part in &partitions {
        for statement in [
            format!("UPDATE {part} SET {}", if part.contains("entries") { "line = 9" } else { "leg = 9" }),
            format!("DELETE FROM {part}"),
            format!("TRUNCATE {part} CASCADE"),
            format!("INSERT INTO {part} SELECT * FROM {part}"),
        ] {
            let error = store::migrate::execute(&app, &statement).await.unwrap_err().to_string();
            assert!(error.contains("permission denied"), "{statement}: {error}");
            if !statement.starts_with("INSERT") {
                let error = store::migrate::execute(&owner, &statement).await.unwrap_err().to_string();
                assert!(error.contains("append-only"), "{statement}: {error}");
            }
        }
    }
    // Not even the owner adds what does not balance, whichever way.
    let one_line =
        "INSERT INTO ledger_entries_default (transaction_id, line, account_id, amount_minor, currency)
        SELECT transaction_id, 7, account_id, amount_minor, currency FROM ledger_entries_default LIMIT 1";
    let error = store::migrate::execute(&owner, one_line).await.unwrap_err().to_string();
    assert!(error.contains("does not balance"), "{error}");
    Ok(())
}

/// Runs a statement of ClickHouse.
async fn run(client: &sinks::Client, statement: &str) -> anyhow::Result<()> {
    Ok(client.query_raw(statement).execute().await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_before_lie_by_the_hour_after_migrating() -> anyhow::Result<()> {
    let stack = Stack::start_with(&["--engines-only"])?;
    let (pool, url) = (stack.pool().await?, stack.clickhouse_url());
    let client = sinks::client(&url, "older");
    sinks::schema::migrate(&pool, &client, "older", None).await?;
    run(
        &client,
        "CREATE TABLE before AS events ENGINE = ReplacingMergeTree ORDER BY (workspace_id, event_id)",
    )
    .await?;
    run(&client, "DROP TABLE events").await?;
    run(&client, "RENAME TABLE before TO events").await?;
    run(
        &client,
        "INSERT INTO events (event_id, kind, at) SELECT generateUUIDv4(), 'click', now() FROM numbers(9)",
    )
    .await?;
    // Again, and after a cut at either place: when the new table is there, and when
    // events are in it only.
    for _ in 0..2 {
        let again = "ALTER TABLE schema_migrations DELETE WHERE version = 7 SETTINGS mutations_sync = 1";
        run(&client, again).await?;
        sinks::schema::migrate(&pool, &client, "older", None).await?;
        let (count, sorting_key): (u64, String) = client
            .query(
                "SELECT assumeNotNull((SELECT count() FROM events)), sorting_key FROM system.tables
                 WHERE database = currentDatabase() AND name = 'events'",
            )
            .fetch_one()
            .await?;
        assert_eq!(count, 9);
        assert_eq!(
            sorting_key,
            "workspace_id, kind, toStartOfHour(at), link_id, visitor, event_id, payload_hash"
        );
        run(&client, "CREATE TABLE events_by_hour AS events").await?;
        run(&client, "INSERT INTO events_by_hour SELECT * FROM events LIMIT 4").await?;
        run(&client, "ALTER TABLE events DELETE WHERE event_id IN (SELECT event_id FROM events_by_hour) SETTINGS mutations_sync = 1")
            .await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn hours_of_before_have_creators_after_migrating() -> anyhow::Result<()> {
    let stack = Stack::start_with(&["--engines-only"])?;
    let pool = stack.pool().await?;
    let client = sinks::client(&stack.clickhouse_url(), "older");
    sinks::schema::migrate(&pool, &client, "older", None).await?;
    // Two links of each of two creators in three hours, counted once, and then anew.
    for version in [1, 2] {
        for (table, columns, values) in [
            ("hourly_clicks", "clicks, unique_clicks, bot_clicks", "version * 10, version * 5, version"),
            (
                "hourly_outcomes",
                "conversions, revenue_minor, earnings_minor",
                "version, version * 100, version * 50",
            ),
        ] {
            run(
                &client,
                &format!(
                    "INSERT INTO {table} (workspace_id, hour, creator_id, link_id, {columns}, version)
                     WITH {version} AS version
                     SELECT toUUID('00000000-0000-0000-0000-000000000007'), toDateTime(number % 3 * 3600, 'UTC'),
                        toUUID('00000000-0000-0000-0000-00000000000' || toString(number % 2)),
                        toUUID('00000000-0000-0000-0000-00000000000' || toString(intDiv(number, 6))), {values}, version
                     FROM numbers(12)"
                ),
            )
            .await?;
        }
    }
    // Again: what was cut off between the statements begins anew.
    for _ in 0..2 {
        let again =
            "ALTER TABLE schema_migrations DELETE WHERE version IN (12, 17) SETTINGS mutations_sync = 1";
        run(&client, again).await?;
        sinks::schema::migrate(&pool, &client, "older", None).await?;
        for (coarser, expected_rows) in [("creator", 6), ("workspace", 3)] {
            let (rows, clicks, unique_clicks, bot_clicks): (u64, u64, u64, u64) = client
                .query(&format!(
                    "SELECT count(), sum(clicks), sum(unique_clicks), sum(bot_clicks) FROM hourly_{coarser}_clicks FINAL"
                ))
                .fetch_one()
                .await?;
            assert_eq!((rows, clicks, unique_clicks, bot_clicks), (expected_rows, 240, 120, 24), "{coarser}");
            let (rows, conversions, revenue_minor, earnings_minor): (u64, u64, i64, i64) = client
                .query(&format!(
                    "SELECT count(), sum(conversions), sum(revenue_minor), sum(earnings_minor)
                     FROM hourly_{coarser}_outcomes FINAL"
                ))
                .fetch_one()
                .await?;
            let expected = (expected_rows, 24, 2_400, 1_200);
            assert_eq!((rows, conversions, revenue_minor, earnings_minor), expected, "{coarser}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn migrating_twice_and_at_once_is_harmless() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let running: Vec<_> = (0..3)
        .map(|_| stack.command().arg("migrate").stderr(std::process::Stdio::piped()).spawn())
        .collect::<Result<_, _>>()?;
    for child in running {
        let output = child.wait_with_output()?;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    // Tables stay where they are.
    let refused = stack.run(&["migrate", "--clickhouse-cluster", "other"])?;
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && told.contains("they would be on the cluster other"), "{told}");
    // At once, on a database that has nothing yet.
    let owner = store::connect(&stack.database_url("tributary", "tributary"), 1).await?;
    store::migrate::create_database(&owner, "fresh").await?;
    let url = stack.database_url("tributary", "fresh");
    let (one, two) = (store::connect(&url, 1).await?, store::connect(&url, 1).await?);
    let (first, second) = tokio::join!(store::migrate::migrate(&one), store::migrate::migrate(&two));
    first?;
    second?;
    let clickhouse = stack.clickhouse();
    // What one installation loads is nothing for another's books.
    let refused = stack.run(&["migrate", "--owner-database-url", &url])?;
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && told.contains("are another installation's"), "{told}");
    let (one, two) = tokio::join!(
        sinks::schema::migrate(&one, &clickhouse, "fresh", None),
        sinks::schema::migrate(&two, &clickhouse, "fresh", None)
    );
    one?;
    two?;
    Ok(())
}
