//! kill -9 of the processors, twenty times at random under a live stream: the
//! topic `credits` says what the naive model says of the topic `events`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use domain::attribution::Policy;
use domain::command::{Command, Credit};
use domain::event::{Body, BotReason, Client, Event};
use domain::ids::{CampaignId, EventId, LinkId, UserId, VisitorKey, WorkspaceId};
use domain::money::{Currency, Money};
use runtime::clock::now_ms;
use runtime::consumer::{BatchLimits, Consumer};
use runtime::producer::{ProducerSettings, Publisher};
use runtime::progress::Progress;
use runtime::topics::{TopicSettings, Topics, ensure};
use serde::de::DeserializeOwned;
use tests::naive::{Verdict, expected};
use tests::{Stack, World, die_with_test, reader};
use uuid::Uuid;

const PREFIX: &str = "killed-";
const KILLS: u64 = 20;
const HOLD_MS: i64 = 300;

/// The processors, in a process of their own, and in a group of their own: the
/// broker waits ten seconds for a member that was killed.
fn processors(stack: &Stack, number: u64) -> anyhow::Result<Child> {
    let mut command = stack.command();
    let dir = stack.data_dir().join("killed");
    command.env("TRIBUTARY_TOPIC_PREFIX", PREFIX).env("TRIBUTARY_DATA_DIR", dir);
    command.env("TRIBUTARY_GROUP", format!("group-{number}"));
    command.env("TRIBUTARY_HOLD_MS", HOLD_MS.to_string());
    command.arg("process").stdin(Stdio::null()).stderr(Stdio::null());
    die_with_test(&mut command);
    Ok(command.spawn()?)
}

/// What people do, one event after the other, some of it twice or out of order.
fn event(number: u64, workspace: WorkspaceId, campaigns: &[CampaignId]) -> Event {
    // A fixed number stands for chance.
    let chance = |salt: u64, of: u64| (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> salt) % of;
    let at_ms = now_ms() - i64::try_from(chance(7, 2) * chance(9, 200)).unwrap_or_default();
    let visitor = VisitorKey::derive(workspace, &format!("visitor-{}", chance(11, 60)));
    let user = VisitorKey::derive_user(workspace, &format!("user-{}", chance(13, 20)));
    let campaign = campaigns[usize::try_from(chance(15, 3)).expect("small")];
    let value = Money { amount_minor: 5_000, currency: Currency::new("USD").expect("a currency") };
    let (body, named) = match chance(17, 10) {
        0..5 => {
            let body = Body::Click {
                link: LinkId(campaign.0),
                campaign,
                creator: UserId(campaign.0),
                supporter: None,
                variant: None,
                utm: BTreeMap::new(),
                cookieless: false,
            };
            (body, None)
        }
        5 => (Body::Identify { user_id: "u".to_owned(), properties: BTreeMap::new() }, Some(user)),
        6 => (Body::Page { url: "/".to_owned(), title: None, properties: BTreeMap::new() }, None),
        _ => {
            let order_id = format!("order-{}", number / 2);
            let body = Body::Sale { order_id, value, items: Vec::new(), click: None, coupon: None };
            (body, (chance(19, 3) == 0).then_some(user))
        }
    };
    let is_users = matches!(body, Body::Sale { .. }) && named.is_some() && chance(21, 2) == 0;
    Event {
        id: EventId(Uuid::from_u128(u128::from(number) + 1)),
        workspace,
        visitor: if is_users { user } else { visitor },
        user: named,
        at_ms,
        received_at_ms: at_ms,
        payload_hash: format!("{number:064x}"),
        body,
        client: Client::default(),
        bot: (chance(23, 12) == 0).then_some(BotReason::UserAgent),
    }
}

/// Sends events until told to stop; gives how many.
async fn stream(
    publisher: Publisher,
    topics: Topics,
    workspace: WorkspaceId,
    campaigns: Vec<CampaignId>,
    stop: Arc<AtomicBool>,
) -> anyhow::Result<usize> {
    let mut sent = 0;
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let event = event(number, workspace, &campaigns);
        let payload = serde_json::to_vec(&event)?;
        for _ in 0..if number % 9 == 0 { 2 } else { 1 } {
            publisher.publish(&topics.events, event.visitor.to_string().as_bytes(), &payload).await?;
            sent += 1;
        }
    }
    Ok(sent)
}

/// Reads what is new on a topic, by partition.
fn read<T: DeserializeOwned>(consumer: &Consumer, into: &mut HashMap<i32, Vec<T>>) -> anyhow::Result<()> {
    let limits = BatchLimits { max_messages: 10_000, max_wait: Duration::from_millis(50) };
    for batch in consumer.poll(Duration::from_millis(200), limits)? {
        for message in batch.messages {
            into.entry(batch.partition).or_default().push(serde_json::from_slice(&message.payload)?);
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_kills_change_no_credit() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let world = World::create(&stack, "killed").await?;
    let mut campaigns = Vec::new();
    for objective in ["sale", "click", "sale"] {
        campaigns.push(CampaignId(world.campaign(objective, 250, 1_000).await?.id.parse()?));
    }
    let workspace = WorkspaceId(world.workspace);
    let topics = Topics::new(PREFIX);
    let settings = TopicSettings { partitions: 3, replication: 1, retention: Duration::from_secs(86_400) };
    ensure(&stack.brokers(), &topics, settings).await?;
    let publisher = Publisher::new(&stack.brokers(), ProducerSettings::default())?;
    let stop = Arc::new(AtomicBool::new(false));
    let sending = tokio::spawn(stream(publisher, topics.clone(), workspace, campaigns, Arc::clone(&stop)));
    let mut at_work = 0;
    for kill in 0..KILLS {
        let mut running = processors(&stack, kill)?;
        // At work, and each time at another moment of it.
        let before = count(&stack, &topics.credits).await?;
        for _ in 0..200 {
            if count(&stack, &topics.credits).await? > before {
                at_work += 1;
                break;
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        tokio::time::sleep(Duration::from_millis((kill * 7_919) % 300)).await;
        running.kill()?;
        running.wait()?;
    }
    assert!(at_work > KILLS / 2, "only {at_work} of {KILLS} were killed at work");
    let mut running = processors(&stack, KILLS)?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    stop.store(true, Ordering::Relaxed);
    let sent = sending.await??;
    let same = compare(&stack, &topics, sent).await;
    running.kill()?;
    running.wait()?;
    same
}

/// Waits until both topics are complete, and compares what they say.
async fn compare(stack: &Stack, topics: &Topics, sent: usize) -> anyhow::Result<()> {
    let rules = store::campaigns::load_rules(&stack.pool().await?).await?;
    let policy = Policy { hold_ms: HOLD_MS, ..Policy::default() };
    let (brokers, topics) = (stack.brokers(), topics.clone());
    let comparing = tokio::task::spawn_blocking(move || {
        let events_reader = reader(&brokers, &topics.events)?;
        let credits_reader = reader(&brokers, &topics.credits)?;
        let (mut events, mut credits) = (HashMap::<i32, Vec<Event>>::new(), HashMap::new());
        let mut difference = String::new();
        for _ in 0..150 {
            read(&events_reader, &mut events)?;
            read::<Command>(&credits_reader, &mut credits)?;
            let came = events.values().flatten().filter(|event| !event.body.is_internal()).count();
            if came < sent {
                continue;
            }
            let said: Vec<&Credit> = credits
                .values()
                .flatten()
                .filter_map(|command| match command {
                    Command::Credit(credit) => Some(credit),
                    Command::Fund(_) | Command::Close(_) | Command::Refund(_) | Command::Clawback(_) => None,
                })
                .collect();
            let is: BTreeSet<Verdict> = said.iter().map(|credit| Verdict::from(*credit)).collect();
            let should: BTreeSet<Verdict> =
                events.values().flat_map(|log| expected(log, &rules, &policy).verdicts).collect();
            if is == should && is.len() > 100 {
                return Ok(());
            }
            let (missing, wrong) = (should.difference(&is).count(), is.difference(&should).next());
            difference = format!("{missing} missing of {}; wrong: {wrong:#?}", should.len());
        }
        anyhow::bail!("after {sent} events: {difference}")
    });
    comparing.await?
}

/// How many messages a topic has.
async fn count(stack: &Stack, topic: &str) -> anyhow::Result<i64> {
    let (brokers, topic) = (stack.brokers(), topic.to_owned());
    let ends = tokio::task::spawn_blocking(move || Progress::new(&brokers, "counting")?.end_offsets(&topic));
    Ok(ends.await??.into_iter().map(|(_, end)| end).sum())
}
