//! Settlement, from Kafka into the books, beside the same SQL driven directly.

use std::time::{Duration, Instant};

use anyhow::ensure;
use domain::chain::Records;
use domain::command::{Basis, BasisTouch, Command, Credit, Decision, Funding};
use domain::ids::{CampaignId, EventId, LinkId, UserId, VisitorKey, WorkspaceId};
use domain::money::{Currency, Money};
use domain::rules::Objective;
use domain::settlement::{Books, campaigns_of, ids_of, settle};
use processors::reconcile::check_books;
use processors::settlement::{Range, Settled, settle_batch};
use runtime::consumer::BatchLimits;
use runtime::producer::{ProducerSettings, Publisher};
use runtime::topics::{TopicSettings, Topics};
use store::Pool;
use store::batches::NewBatch;
use store::reconcile::Part;
use tests::{Settler, Stack};
use uuid::Uuid;

use crate::table::Table;

const CAMPAIGNS: u128 = 8;
const CREDITS: u128 = 100_000;
const BATCH: usize = 5_000;
/// Events that are settled one at a time.
const SINGLE: usize = 3_000;
/// The books that are reconciled are so many times larger still.
const COPIES: u128 = 33;
const AT_MS: i64 = 1_790_000_000_000;

pub(crate) async fn measure(table: &mut Table) -> anyhow::Result<()> {
    println!("settlement: {CREDITS} payable actions of {CAMPAIGNS} campaigns …");
    let stack = Stack::start_with(&["--engines-only", "--kafka-in-memory"])?;
    let topics = Topics::new("bench-");
    let commands = commands(CAMPAIGNS);
    publish(&stack, &topics, &commands).await?;
    let direct = direct(&database(&stack, "direct").await?, &commands).await?;
    table.limit("settlement's SQL alone, batches of 5,000", direct, "one connection, rows worked out before");
    let piped = through_kafka(&stack, &database(&stack, "piped").await?, topics, commands.len()).await?;
    table.figure("settlement: events from Kafka into the books", piped, direct, "3 ledger entries an event");
    let singly = singly(&database(&stack, "singly").await?, &commands[..SINGLE]).await?;
    let times = format!("a transaction an event; batches are {:.0} times as fast", piped / singly);
    table.figure("settlement: one event at a time", singly, direct, &times);
    let (topics, commands) = (Topics::new("hot-"), self::commands(1));
    publish(&stack, &topics, &commands).await?;
    let hot = through_kafka(&stack, &database(&stack, "hot").await?, topics, commands.len()).await?;
    let ratio = format!("{:.2} of {CAMPAIGNS} campaigns'", hot / piped);
    table.figure("settlement: all events of one campaign", hot, direct, &ratio);
    Ok(())
}

/// Events a second where each has a transaction of its own.
async fn singly(pool: &Pool, commands: &[Command]) -> anyhow::Result<f64> {
    let topic = "singly";
    store::offsets::next_offset(pool, topic, 0).await?;
    let started = Instant::now();
    for (command, offset) in commands.iter().zip(0_i64..) {
        let range = Range { topic, partition: 0, first_offset: offset, last_offset: offset };
        let settled = settle_batch(pool, range, std::slice::from_ref(command)).await?;
        ensure!(settled != Settled::Fenced, "nobody else settles");
    }
    Ok(commands.len() as f64 / started.elapsed().as_secs_f64())
}

/// How long it takes to check books of ten million entries.
pub(crate) async fn reconcile(table: &mut Table) -> anyhow::Result<()> {
    println!("reconcile: making books of {} entries …", 3 * CREDITS * (1 + COPIES));
    let stack = Stack::start_with(&["--engines-only", "--kafka-in-memory"])?;
    let pool = database(&stack, "large").await?;
    let commands = commands(CAMPAIGNS);
    let topic = "large";
    let mut first_offset = store::offsets::next_offset(&pool, topic, 0).await?;
    for commands in commands.chunks(BATCH) {
        let last_offset = first_offset + i64::try_from(commands.len())? - 1;
        settle_batch(&pool, Range { topic, partition: 0, first_offset, last_offset }, commands).await?;
        first_offset = last_offset + 1;
    }
    let owner = store::connect(&stack.database_url("tributary", "large"), 1).await?;
    let multiply = include_str!("multiply.sql").replace(":copies", &COPIES.to_string());
    store::migrate::execute(&owner, &multiply).await?;
    println!("reconcile: checking …");
    let full = checked(&pool, true).await?;
    let copied = store::reconcile::new_batches(&pool, Part::Books).await?;
    let mut transaction = store::begin(&pool).await?;
    store::reconcile::advance(&mut transaction, Part::Books, &copied).await?;
    store::commit(transaction).await?;
    let next_offset = store::offsets::next_offset(&pool, topic, 0).await?;
    let more: Vec<Command> = self::more(&commands[commands.len() - BATCH..]);
    let last_offset = next_offset + i64::try_from(more.len())? - 1;
    settle_batch(&pool, Range { topic, partition: 0, first_offset: next_offset, last_offset }, &more).await?;
    let new = checked(&pool, false).await?;
    let entries = (3 * CREDITS * (1 + COPIES)) as f64;
    let note = format!("{full:.1} s in all; {new:.2} s for a new batch of {BATCH} actions");
    table.limit("reconcile: entries of books of ten million", entries / full, note);
    Ok(())
}

/// The same actions, under other ids.
fn more(commands: &[Command]) -> Vec<Command> {
    let again = |command: &Command| match command.clone() {
        Command::Credit(credit) => {
            let event = EventId(Uuid::from_u128(credit.event.0.as_u128() | 1 << 90));
            Command::Credit(Credit { event, ..credit })
        }
        other => other,
    };
    commands.iter().map(again).collect()
}

/// Seconds that the checks take. The copied batches' hashes are not theirs, and
/// that is all that may be wrong.
async fn checked(pool: &Pool, is_full: bool) -> anyhow::Result<f64> {
    let started = Instant::now();
    let verdicts = check_books(pool, is_full).await?;
    for verdict in verdicts.iter().filter(|verdict| verdict.number != 6 || !is_full) {
        ensure!(verdict.offences.is_empty(), "{}: {:?}", verdict.title, verdict.offences);
    }
    Ok(started.elapsed().as_secs_f64())
}

/// A database of its own, with the tables.
async fn database(stack: &Stack, name: &str) -> anyhow::Result<Pool> {
    let owner = store::connect(&stack.database_url("tributary", "tributary"), 1).await?;
    store::migrate::create_database(&owner, name).await?;
    let owner = store::connect(&stack.database_url("tributary", name), 1).await?;
    store::migrate::migrate(&owner).await?;
    Ok(store::connect(&stack.database_url("tributary_app", name), 8).await?)
}

fn usd(amount_minor: i64) -> Money {
    Money { amount_minor, currency: Currency::new("USD").expect("ISO 4217") }
}

/// Fundings that suffice, then clicks of so many campaigns that are all to be
/// paid.
fn commands(campaigns: u128) -> Vec<Command> {
    let workspace = WorkspaceId(Uuid::from_u128(1));
    let campaign = |number: u128| CampaignId(Uuid::from_u128(100 + number % campaigns));
    let fundings = (0..CAMPAIGNS).map(|number| {
        Command::Fund(Funding {
            external_id: format!("funding-{number}"),
            workspace,
            campaign: campaign(number),
            money: usd(1_000_000_000),
            at_ms: AT_MS,
            boost: None,
        })
    });
    let credits = (0..CREDITS).map(|number| {
        let event = EventId(Uuid::from_u128(1 << 80 | number));
        let creator = UserId(Uuid::from_u128(1_000 + number % 200));
        let link = LinkId(Uuid::from_u128(10_000 + number % 1_000));
        let touch = BasisTouch {
            click: event,
            link,
            campaign: campaign(number),
            creator,
            at_ms: AT_MS,
            weight: 1,
            chosen: true,
        };
        Command::Credit(Credit {
            event,
            leg: 0,
            legs: 1,
            order: None,
            kind: Objective::Click.into(),
            workspace,
            at_ms: AT_MS,
            visitor: VisitorKey(number.to_be_bytes()),
            payload_hash: format!("{number:064x}"),
            campaign: Some(campaign(number)),
            creator: Some(creator),
            link: Some(link),
            click: Some(event),
            value: None,
            decision: Decision::Payable { payout: usd(25), fee_bps: 1_000, other_minor: 0 },
            limits: None,
            basis: Basis {
                model: "last_touch".to_owned(),
                terms_version: Some(1),
                window_ms: Some(2_592_000_000),
                waited_ms: None,
                matched_by: None,
                touches: vec![touch],
                payment: None,
                sharing: None,
            },
        })
    });
    fundings.chain(credits).collect()
}

async fn publish(stack: &Stack, topics: &Topics, commands: &[Command]) -> anyhow::Result<()> {
    let settings = TopicSettings { partitions: 4, replication: 1, retention: Duration::from_secs(86_400) };
    runtime::topics::ensure(&stack.brokers(), topics, settings).await?;
    let publisher = Publisher::new(&stack.brokers(), ProducerSettings::default())?;
    for chunk in commands.chunks(20_000) {
        let mut pending = Vec::with_capacity(chunk.len());
        for command in chunk {
            let payload = serde_json::to_vec(command)?;
            pending.push(publisher.send(&topics.credits, command.key().as_bytes(), &payload)?);
        }
        for delivery in pending {
            delivery.acknowledged().await?;
        }
    }
    Ok(())
}

/// Events a second of settlement itself, from its first batch to its last.
async fn through_kafka(stack: &Stack, pool: &Pool, topics: Topics, expected: usize) -> anyhow::Result<f64> {
    let batch = BatchLimits { max_messages: BATCH, max_wait: Duration::from_millis(200) };
    let group = "bench-settlement".to_owned();
    let settling = Settler::start(stack.brokers(), group, topics, pool.clone(), batch)?;
    let expected = i64::try_from(expected)?;
    let mut first: Option<(Instant, i64)> = None;
    let rate = loop {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let settled: i64 = store::offsets::list(pool).await?.iter().map(|(_, _, next)| next).sum();
        match first {
            None if settled > 0 => first = Some((Instant::now(), settled)),
            Some((since, before)) if settled == expected => {
                break (settled - before) as f64 / since.elapsed().as_secs_f64();
            }
            _ => ensure!(!settling.has_ended(), "settlement ended early"),
        }
    };
    settling.stop().await?;
    Ok(rate)
}

/// Events a second of settlement's SQL on one connection. The clock stands
/// still while it is worked out what to write.
async fn direct(pool: &Pool, commands: &[Command]) -> anyhow::Result<f64> {
    let mut in_sql = Duration::ZERO;
    let mut first_offset = 0;
    store::offsets::next_offset(pool, "direct", 0).await?;
    for commands in commands.chunks(BATCH) {
        let next = first_offset + i64::try_from(commands.len())?;
        in_sql += settle_directly(pool, commands, first_offset, next).await?;
        first_offset = next;
    }
    Ok(commands.len() as f64 / in_sql.as_secs_f64())
}

async fn settle_directly(
    pool: &Pool,
    commands: &[Command],
    first_offset: i64,
    next: i64,
) -> anyhow::Result<Duration> {
    let (topic, partition) = ("direct", 0);
    let (campaigns, ids) = (campaigns_of(commands), ids_of(commands));
    let mut in_sql = Duration::ZERO;
    let started = Instant::now();
    let mut transaction = store::begin(pool).await?;
    let moved = store::offsets::advance(&mut transaction, topic, partition, first_offset, next).await?;
    let budgets = store::ledger::lock_budgets(&mut transaction, &campaigns).await?;
    let known = store::outcomes::known(&mut transaction, &ids).await?;
    let previous_hash = store::batches::last_hash(&mut transaction, topic, partition).await?;
    in_sql += started.elapsed();
    ensure!(moved, "nobody else settles");
    let plan = settle(commands, Books { known, budgets, ..Books::default() });
    let mut records = Records::of(&plan);
    let batch = NewBatch {
        topic,
        partition,
        first_offset,
        last_offset: next - 1,
        outcome_count: plan.outcomes.len(),
        transaction_count: plan.transactions.len(),
        line_count: records.lines.len(),
        previous_hash,
        hash: records.chained(&previous_hash),
    };
    let changes = plan.account_changes();
    let started = Instant::now();
    let batch = store::batches::insert(&mut transaction, &batch).await?;
    store::outcomes::insert(&mut transaction, batch, &plan.outcomes).await?;
    store::ledger::insert_fundings(&mut transaction, batch, &plan.fundings).await?;
    store::ledger::post(&mut transaction, batch, &plan.transactions, &records.lines, &changes).await?;
    store::wallets::hold(&mut transaction, &plan.earned()).await?;
    store::ledger::save_budgets(&mut transaction, plan.budgets.values()).await?;
    store::commit(transaction).await?;
    in_sql += started.elapsed();
    let posted = plan.outcomes.iter().filter(|outcome| outcome.reason.is_none()).count();
    ensure!(posted == plan.outcomes.len(), "all are to be paid");
    Ok(in_sql)
}
