//! Settlement: zombies, repeats, replays.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use domain::command::{Command, Funding};
use domain::ids::{CampaignId, WorkspaceId};
use domain::ledger::{AccountKey, AccountKind};
use domain::money::{Currency, Money};
use processors::settlement::{Range, Settled, settle_batch};
use runtime::consumer::BatchLimits;
use runtime::producer::{ProducerSettings, Publisher};
use runtime::topics::{TopicSettings, Topics};
use serde_json::json;
use tests::{Settler, Stack, World, reader};
use uuid::Uuid;

const LIMITS: BatchLimits = BatchLimits { max_messages: 500, max_wait: Duration::from_millis(100) };

/// Partition, key and payload.
type Raw = (i32, Vec<u8>, Vec<u8>);

/// Everything on `credits`.
fn read_credits(stack: &Stack, expected: usize) -> anyhow::Result<Vec<Raw>> {
    let topic = stack.topics().credits;
    let consumer = reader(&stack.brokers(), &topic)?;
    let mut messages = Vec::new();
    for _ in 0..300 {
        for batch in consumer.poll(Duration::from_millis(200), LIMITS)? {
            messages.extend(batch.messages.into_iter().map(|m| (batch.partition, m.key, m.payload)));
        }
        if messages.len() >= expected {
            break;
        }
    }
    Ok(messages)
}

async fn stream(world: &World, code: &str, visitors: std::ops::Range<u32>) -> anyhow::Result<()> {
    for visitor in visitors {
        world.click(code, &format!("visitor-{visitor:06}")).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zombie_posts_nothing_twice() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let world = World::create(&stack, "zombie").await?;
    let campaign = world.campaign("click", 5, 1_000_000).await?;
    // A second settler on the same partitions, in a group of its own, so that
    // nobody keeps the two apart.
    let group = format!("{}-zombie", stack.topics().credits);
    let pool = stack.pool().await?;
    let zombie = Settler::start(stack.brokers(), group, stack.topics(), pool, LIMITS)?;
    stream(&world, &campaign.code, 0..600).await?;
    stack.settle()?;
    zombie.stop().await?;
    let answer = world.report(&format!("/v1/campaigns/{}", campaign.id)).await?;
    assert_eq!(answer["outcomes"][0]["count"], 600, "{answer}");
    assert_eq!(answer["campaign"]["spent_minor"], 600 * 5);
    stack.reconcile()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_settlers_of_one_range_one_wins() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let pool = stack.pool().await?;
    let range = Range { topic: "race", partition: 0, first_offset: 0, last_offset: 9 };
    assert_eq!(store::offsets::next_offset(&pool, "race", 0).await?, 0);
    let (one, two) = tokio::join!(settle_batch(&pool, range, &[]), settle_batch(&pool, range, &[]));
    let fenced = [&one, &two].iter().filter(|settled| matches!(settled, Ok(Settled::Fenced))).count();
    let committed =
        [&one, &two].iter().filter(|settled| matches!(settled, Ok(Settled::Committed(_)))).count();
    assert_eq!((committed, fenced), (1, 1), "{one:?} {two:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_leaves_the_books_identical() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let world = World::create(&stack, "replay").await?;
    let small = world.campaign("click", 7, 350).await?;
    let large = world.campaign("click", 5, 100_000).await?;
    stream(&world, &small.code, 0..120).await?;
    stream(&world, &large.code, 0..120).await?;
    let sales = world.campaign("sale", 600, 100_000).await?;
    for order in 0..10 {
        let click = world.click(&sales.code, &format!("buyer-{order:06}")).await?;
        let value = json!({ "amount_minor": 5_000, "currency": "USD" });
        let sale = json!({ "order_id": order.to_string(), "value": value, "tcid": click.token });
        world.accepted("/v1/sales", &sale).await?;
        let refund = json!({ "order_id": order.to_string(), "refund_id": "1", "user_id": "the-shop",
            "value": { "amount_minor": order * 500, "currency": "USD" } });
        world.accepted("/v1/refunds", &refund).await?;
    }
    stack.settle()?;
    let digest = stack.digest()?;
    let pool = stack.pool().await?;
    let far_ms = runtime::clock::now_ms() + 365 * 24 * 60 * 60 * 1_000;
    assert!(processors::wallets::release_due(&pool, far_ms).await? > 0);
    assert_eq!(stack.digest()?, digest, "what is released is no part of it");
    let messages = read_credits(&stack, 273)?;
    let expected = "240 clicks, three fundings, ten sales, and each refund on its way to sale and campaign";
    assert_eq!(messages.len(), 273, "{expected}");
    repeat_into_the_same(&stack, &messages).await?;
    assert_eq!(stack.digest()?, digest, "repeats changed the books");
    replay_into_an_empty(&stack, &digest).await?;
    stack.reconcile()
}

/// Attribution that lost its offset emits everything again: new offsets, the
/// same ids.
async fn repeat_into_the_same(stack: &Stack, messages: &[Raw]) -> anyhow::Result<()> {
    let pool = stack.pool().await?;
    // A settler that begins at 0 again is fenced off.
    let topic = stack.topics().credits;
    let range = Range { topic: &topic, partition: messages[0].0, first_offset: 0, last_offset: 0 };
    assert_eq!(settle_batch(&pool, range, &[]).await?, Settled::Fenced);
    let publisher = Publisher::new(&stack.brokers(), ProducerSettings::default())?;
    for (_, key, payload) in messages {
        publisher.publish(&topic, key, payload).await?;
    }
    stack.settle()
}

/// Whoever is overtaken again and again, while it reads ahead, follows and skips
/// nothing.
#[tokio::test(flavor = "multi_thread")]
async fn an_overtaken_settler_skips_nothing() -> anyhow::Result<()> {
    // Who is first is left to chance, so it goes on until it was often enough.
    const AT_LEAST: usize = 2_000;
    const AT_MOST: u128 = 40_000;
    const OFTEN: usize = 20;
    let stack = Stack::start_with(&["--engines-only"])?;
    let owner = store::connect(&stack.database_url("tributary", "tributary"), 1).await?;
    store::migrate::create_database(&owner, "overtaken").await?;
    let owner = store::connect(&stack.database_url("tributary", "overtaken"), 1).await?;
    store::migrate::migrate(&owner).await?;
    let pool = store::connect(&stack.database_url("tributary_app", "overtaken"), 4).await?;
    let topics = Topics::new("overtaken-");
    let settings = TopicSettings { partitions: 1, replication: 1, retention: Duration::from_secs(86_400) };
    runtime::topics::ensure(&stack.brokers(), &topics, settings).await?;
    let money = Money { amount_minor: 1, currency: Currency::new("USD")? };
    let commands: Vec<Command> = (0..AT_MOST)
        .map(|number| {
            Command::Fund(Funding {
                external_id: number.to_string(),
                workspace: WorkspaceId(Uuid::from_u128(1)),
                campaign: CampaignId(Uuid::from_u128(2)),
                money,
                at_ms: 1_893_456_000_000,
                boost: None,
            })
        })
        .collect();
    let (published, overtaken, is_all) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
    let publishing = async {
        let publisher = Publisher::new(&stack.brokers(), ProducerSettings::default())?;
        for commands in commands.chunks(20) {
            let mut pending = Vec::new();
            for command in commands {
                let payload = serde_json::to_vec(command)?;
                pending.push(publisher.send(&topics.credits, command.key().as_bytes(), &payload)?);
            }
            for delivery in pending {
                delivery.acknowledged().await?;
            }
            let published = published.fetch_add(commands.len(), Ordering::SeqCst) + commands.len();
            if published >= AT_LEAST && overtaken.load(Ordering::SeqCst) > OFTEN {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        is_all.store(true, Ordering::SeqCst);
        anyhow::Ok(())
    };
    let batch = BatchLimits { max_messages: 60, max_wait: Duration::from_millis(20) };
    let group = "overtaken".to_owned();
    let settling = Settler::start(stack.brokers(), group, topics.clone(), pool.clone(), batch)?;
    // Somebody settles what is next, and is in Kafka.
    let overtaking = async {
        let topic = &topics.credits[..];
        let until = std::time::Instant::now() + Duration::from_secs(90);
        loop {
            let first_offset = store::offsets::next_offset(&pool, topic, 0).await?;
            let from = usize::try_from(first_offset)?;
            // In this order: what is published before the last is counted.
            if is_all.load(Ordering::SeqCst) && from >= published.load(Ordering::SeqCst) {
                return anyhow::Ok(());
            }
            let next = &commands[from..commands.len().min(from + 3)];
            let last_offset = first_offset + next.len() as i64 - 1;
            let range = Range { topic, partition: 0, first_offset, last_offset };
            let is_there = !next.is_empty() && from + next.len() <= published.load(Ordering::SeqCst);
            if is_there && settle_batch(&pool, range, next).await? != Settled::Fenced {
                overtaken.fetch_add(1, Ordering::SeqCst);
            }
            anyhow::ensure!(std::time::Instant::now() < until, "it stands at {first_offset}");
            tokio::time::sleep(Duration::from_millis(15)).await;
        }
    };
    tokio::try_join!(publishing, overtaking)?;
    settling.stop().await?;
    let overtaken = overtaken.into_inner();
    assert!(overtaken > OFTEN, "overtaken {overtaken} times only");
    let funded = store::migrate::strings(&owner, "SELECT count(*)::text FROM fundings").await?;
    assert_eq!(funded, [published.into_inner().to_string()]);
    Ok(())
}

/// The books follow from the topic alone.
async fn replay_into_an_empty(stack: &Stack, digest: &str) -> anyhow::Result<()> {
    let owner = store::connect(&stack.database_url("tributary", "tributary"), 1).await?;
    store::migrate::create_database(&owner, "replayed").await?;
    let owner = store::connect(&stack.database_url("tributary", "replayed"), 1).await?;
    store::migrate::migrate(&owner).await?;
    let pool = store::connect(&stack.database_url("tributary_app", "replayed"), 4).await?;
    // Other batches than the first time: 7 messages each.
    let batch = BatchLimits { max_messages: 7, max_wait: Duration::from_millis(50) };
    let topics = stack.topics();
    let group = format!("{}-replayed", topics.credits);
    let settling = Settler::start(stack.brokers(), group, topics, pool.clone(), batch)?;
    let mut replayed = String::new();
    for _ in 0..300 {
        replayed = hex::encode(store::batches::all_records(&mut *store::begin(&pool).await?).await?.digest());
        if replayed == digest {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    settling.stop().await?;
    assert_eq!(replayed, digest);
    for verdict in processors::reconcile::check_books(&pool, true).await? {
        assert!(verdict.offences.is_empty(), "{verdict:?}");
    }
    Ok(())
}

/// The numbers of the checks that fail, and all that was said.
fn failed_checks(stack: &Stack, arguments: &[&str]) -> anyhow::Result<(Vec<i64>, serde_json::Value)> {
    let output = stack.run(&[&["reconcile", "--json"], arguments].concat())?;
    let report: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let checks = report["checks"].as_array().unwrap().iter();
    let failed: Vec<i64> = checks
        .filter(|check| !check["offences"].as_array().unwrap().is_empty())
        .map(|check| check["number"].as_i64().unwrap())
        .collect();
    assert_eq!(output.status.code(), Some(i32::from(!failed.is_empty())));
    Ok((failed, report))
}

/// What was found right is not looked at again; what is new is, until it is right.
#[tokio::test(flavor = "multi_thread")]
async fn reconcile_looks_at_what_is_new() -> anyhow::Result<()> {
    const NONE: [i64; 0] = [];
    let stack = Stack::start()?;
    let world = World::create(&stack, "new").await?;
    let campaign = world.campaign("click", 50, 1_000).await?;
    let owner = store::connect(&stack.database_url("tributary", "tributary"), 1).await?;
    let change = async |sql: &str| {
        let sql = format!("SET session_replication_role = replica; {sql}; RESET session_replication_role");
        store::migrate::execute(&owner, &sql).await
    };
    let falsify = async |event: Uuid, minor: i64| {
        change(&format!(
            "UPDATE outcomes SET gross_minor = gross_minor + {minor}, fee_minor = fee_minor + {minor}
             WHERE event_id = '{event}'"
        ))
        .await
    };
    let old = world.click(&campaign.code, "visitor-0001").await?.id;
    stack.settle()?;
    assert_eq!(failed_checks(&stack, &[])?.0, NONE);
    falsify(old, 1).await?;
    assert_eq!(failed_checks(&stack, &[])?.0, NONE, "it was right");
    // Chain, posting, rate, and ClickHouse's copy.
    assert_eq!(failed_checks(&stack, &["--full"])?.0, [6, 9, 18, 27]);
    falsify(old, -1).await?;
    let new = world.click(&campaign.code, "visitor-0002").await?.id;
    stack.settle()?;
    falsify(new, 1).await?;
    for _ in 0..2 {
        assert_eq!(failed_checks(&stack, &[])?.0, [6, 9, 18, 27], "until it is right");
    }
    falsify(new, -1).await?;
    assert_eq!(failed_checks(&stack, &[])?.0, NONE);
    // A balance that moved without an entry shows whenever that was.
    change("UPDATE ledger_accounts SET balance_minor = balance_minor + 1 WHERE kind = 'platform_fee'")
        .await?;
    assert_eq!(failed_checks(&stack, &[])?.0, [3]);
    assert_eq!(failed_checks(&stack, &["--full"])?.0, [3]);
    change("UPDATE ledger_accounts SET balance_minor = balance_minor - 1 WHERE kind = 'platform_fee'")
        .await?;
    // Entries added to a transaction show in the chain at least, though they and
    // balances add up; entries of none, by themselves.
    let add = async |transaction: &str| {
        change(&format!(
            "INSERT INTO ledger_entries (transaction_id, line, account_id, amount_minor, currency)
             SELECT {transaction}, 90 + e.line, e.account_id, v.minor, e.currency
             FROM ledger_entries e JOIN (VALUES (0, 7), (1, -7)) AS v (line, minor) USING (line)
             WHERE e.transaction_id = (SELECT transaction_id FROM outcomes WHERE event_id = '{new}');
             UPDATE ledger_accounts a SET balance_minor = a.balance_minor + v.minor
             FROM ledger_entries e JOIN (VALUES (0, 7), (1, -7)) AS v (line, minor) USING (line)
             WHERE e.transaction_id = (SELECT transaction_id FROM outcomes WHERE event_id = '{new}')
                 AND a.id = e.account_id"
        ))
        .await
    };
    add("e.transaction_id").await?;
    let (failed, report) = failed_checks(&stack, &["--full"])?;
    assert_eq!(
        (failed.contains(&6), failed.contains(&2), failed.contains(&3)),
        (true, false, false),
        "{report}"
    );
    assert_eq!(stack.run(&["ledger", "verify-chain"])?.status.code(), Some(1));
    let pool = stack.pool().await?;
    for (orphans, max_held_rows) in [(false, usize::MAX), (false, 0), (true, usize::MAX), (true, 0)] {
        if orphans {
            change("DELETE FROM ledger_entries WHERE line >= 90").await?;
            add("gen_random_uuid()").await?;
        }
        let verdicts = processors::reconcile::check_books_holding(&pool, true, max_held_rows).await?;
        let failed: Vec<u8> = verdicts
            .iter()
            .filter(|verdict| !verdict.offences.is_empty())
            .map(|verdict| verdict.number)
            .collect();
        assert_eq!((failed.contains(&2), failed.contains(&6)), (orphans, !orphans), "{verdicts:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn reconcile_names_what_is_wrong() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let world = World::create(&stack, "broken").await?;
    let campaign = world.campaign("click", 5, 1_000).await?;
    let click = world.click(&campaign.code, "visitor-0001").await?;
    stack.settle()?;
    stack.reconcile()?;
    // Somebody with the owner's rights falsifies a payout.
    let owner = store::connect(&stack.database_url("tributary", "tributary"), 1).await?;
    store::migrate::execute(
        &owner,
        "ALTER TABLE outcomes DISABLE TRIGGER append_only;
         UPDATE outcomes SET gross_minor = gross_minor + 1, creator_minor = creator_minor + 1
         WHERE status = 'posted'",
    )
    .await?;
    let (failed, report) = failed_checks(&stack, &["--full"])?;
    // The chain, the posting, the creator's credits, and ClickHouse's copy.
    assert_eq!(failed, [6, 9, 23, 27], "{report}");
    assert!(report.to_string().contains(&click.id.to_string()));
    let output = stack.run(&["ledger", "verify-chain"])?;
    assert_eq!(output.status.code(), Some(1));
    // Whoever does not ask is told as well.
    let stop = runtime::shutdown::CancellationToken::new();
    let pool = store::connect(&stack.database_url("tributary_app", "tributary"), 1).await?;
    runtime::telemetry::init_metrics();
    let checking = processors::reconcile::run(pool, Duration::from_millis(100), stop.clone());
    let seen = async {
        for _ in 0..300 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let metrics = runtime::telemetry::render_metrics();
            if metrics.contains("tributary_reconcile_offences{check=\"9\"} 1") {
                return true;
            }
        }
        false
    };
    let (seen, ()) = tokio::join!(
        async {
            let seen = seen.await;
            stop.cancel();
            seen
        },
        checking
    );
    assert!(seen, "{}", runtime::telemetry::render_metrics());
    Ok(())
}

/// Settlers of several partitions may be the first to post to an account.
#[tokio::test(flavor = "multi_thread")]
async fn accounts_come_into_being_once() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let pool = stack.pool().await?;
    for _ in 0..100 {
        let workspace = WorkspaceId(Uuid::now_v7());
        let currency = Currency::new("USD")?;
        let account = |_| AccountKey { kind: AccountKind::Cash, workspace, owner: Uuid::now_v7(), currency };
        let accounts: BTreeSet<AccountKey> = (0..200).map(account).collect();
        let settlers = (0..8).map(|_| {
            let (pool, accounts) = (pool.clone(), accounts.clone());
            tokio::spawn(async move {
                let mut transaction = store::begin(&pool).await?;
                store::ledger::lock_accounts(&mut transaction, &accounts).await?;
                store::commit(transaction).await
            })
        });
        for settler in futures_util::future::join_all(settlers).await {
            settler??;
        }
    }
    Ok(())
}
