//! The event sink, from Kafka into ClickHouse, beside one direct insert of the
//! same rows.

use std::time::{Duration, Instant};

use anyhow::ensure;
use domain::event::{Body, Client, Event};
use domain::ids::{CampaignId, EventId, LinkId, UserId, VisitorKey, WorkspaceId};
use domain::link::Device;
use runtime::consumer::BatchLimits;
use runtime::shutdown::CancellationToken;
use runtime::topics::Topics;
use sinks::EventRow;
use sinks::events::EventSinkSettings;
use tests::Stack;
use uuid::Uuid;

use crate::table::Table;
use crate::topic;

const EVENTS: u64 = 400_000;
const AT_MS: i64 = 1_790_000_000_000;

pub(crate) async fn measure(table: &mut Table) -> anyhow::Result<()> {
    println!("sink: {EVENTS} clicks …");
    let stack = Stack::start_with(&["--engines-only", "--kafka-in-memory"])?;
    let topics = Topics::new("bench-");
    topic::fill(&stack, &topics, EVENTS, click).await?;
    let limits = BatchLimits { max_messages: 20_000, max_wait: Duration::from_millis(200) };
    let read = topic::read(&stack, topics.events.clone(), EVENTS, limits, |_payload| Ok(())).await?;
    let piped = through_kafka(&stack, topics.events).await?;
    let direct = direct(&stack).await?;
    table.limit("reading the topic, and nothing else", read, "librdkafka, four partitions");
    table.limit("one direct insert through the clickhouse crate", direct, "the same rows, already in memory");
    table.figure(
        "event sink: rows from Kafka into ClickHouse",
        piped,
        direct,
        "exactly once, ranges in Postgres",
    );
    let (json, on_disk) = (json_bytes(), bytes_on_disk(&stack).await?);
    println!(
        "sink: a click is {json:.0} bytes of JSON, {on_disk:.1} on disk once merged: {:.3}",
        on_disk / json
    );
    Ok(())
}

/// How many bytes a click has on Kafka, before it is compressed.
fn json_bytes() -> f64 {
    let bytes = |number| serde_json::to_vec(&click(number)).expect("events are JSON").len();
    (0..1_000).map(bytes).sum::<usize>() as f64 / 1_000.0
}

/// How many bytes a click takes in ClickHouse, its keys included.
async fn bytes_on_disk(stack: &Stack) -> anyhow::Result<f64> {
    let client = sinks::client(&stack.clickhouse_url(), "direct");
    client.query("OPTIMIZE TABLE events FINAL").execute().await?;
    let parts = "SELECT sum(bytes_on_disk), sum(rows) FROM system.parts
        WHERE database = 'direct' AND table = 'events' AND active";
    let (bytes, rows): (u64, u64) = client.query(parts).fetch_one().await?;
    Ok(bytes as f64 / rows as f64)
}

/// A click of one of 100,000 visitors, under an id as the collector draws them.
fn click(number: u64) -> Event {
    let at_ms = AT_MS + i64::try_from(number).unwrap_or_default();
    let visitor = Uuid::new_v5(&Uuid::NAMESPACE_OID, &(number % 100_000).to_be_bytes());
    Event {
        id: EventId(runtime::random::uuid_v7(at_ms)),
        workspace: WorkspaceId(Uuid::from_u128(7)),
        visitor: VisitorKey(visitor.into_bytes()),
        user: None,
        at_ms,
        received_at_ms: at_ms,
        payload_hash: String::new(),
        body: Body::Click {
            link: LinkId(Uuid::from_u128(u128::from(number % 60))),
            campaign: CampaignId(Uuid::from_u128(u128::from(number % 4))),
            creator: UserId(Uuid::from_u128(u128::from(number % 12))),
            supporter: None,
            variant: None,
            utm: std::collections::BTreeMap::new(),
            cookieless: false,
        },
        client: Client {
            network: Some(format!("203.0.{}.0", number % 250)),
            user_agent: Some(
                "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0".to_owned(),
            ),
            referrer: Some(format!("https://social.example/post/{}", number % 1_000)),
            country: Some("DE".to_owned()),
            city: Some("Berlin".to_owned()),
            device: Some(Device::Desktop),
            os: Some("Linux".to_owned()),
            browser: Some("Firefox".to_owned()),
        },
        bot: None,
    }
}

async fn table_in(stack: &Stack, database: &str) -> anyhow::Result<sinks::Client> {
    let client = sinks::client(&stack.clickhouse_url(), database);
    sinks::schema::migrate(&stack.pool().await?, &client, database, None).await?;
    Ok(client)
}

async fn count(client: &sinks::Client) -> anyhow::Result<u64> {
    Ok(client.query("SELECT count() FROM events").fetch_one().await?)
}

/// Rows a second of the sink itself, from its first insert to its last.
async fn through_kafka(stack: &Stack, topic: String) -> anyhow::Result<f64> {
    let client = table_in(stack, "piped").await?;
    let settings = EventSinkSettings {
        brokers: stack.brokers(),
        group: "bench-sink".to_owned(),
        topic,
        max_rows: 20_000,
        max_age: Duration::from_millis(400),
    };
    let stop = CancellationToken::new();
    let pool = stack.pool().await?;
    let loading = {
        let (client, stop, handle) = (client.clone(), stop.clone(), tokio::runtime::Handle::current());
        tokio::task::spawn_blocking(move || sinks::events::run(settings, client, pool, handle, stop))
    };
    let mut first: Option<(Instant, u64)> = None;
    let rate = loop {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let loaded = count(&client).await?;
        match first {
            None if loaded > 0 => first = Some((Instant::now(), loaded)),
            Some((since, before)) if loaded == EVENTS => {
                break (loaded - before) as f64 / since.elapsed().as_secs_f64();
            }
            _ => ensure!(!loading.is_finished(), "the sink ended early"),
        }
    };
    stop.cancel();
    loading.await??;
    Ok(rate)
}

/// Rows a second of one insert of all rows.
async fn direct(stack: &Stack) -> anyhow::Result<f64> {
    let rows: Vec<EventRow> =
        table_in(stack, "piped").await?.query("SELECT ?fields FROM events").fetch_all().await?;
    ensure!(rows.len() as u64 == EVENTS, "all rows are read back");
    let client = table_in(stack, "direct").await?;
    let started = Instant::now();
    let mut insert = client.insert::<EventRow>("events").await?;
    for row in &rows {
        insert.write(row).await?;
    }
    insert.end().await?;
    let rate = rows.len() as f64 / started.elapsed().as_secs_f64();
    ensure!(count(&client).await? == EVENTS, "all rows are there");
    Ok(rate)
}
