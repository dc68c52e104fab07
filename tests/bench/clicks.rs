//! A click, answered once it is durable, with everything on, beside a bare 302
//! under the same load; how long it takes at half that load, beside the
//! broker's own acknowledgement; and what it does to the memory.

use std::cmp::Ordering;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use runtime::producer::{ProducerSettings, Publisher};

use crate::bare::{Bare, CONNECT_WITHIN, MESSAGE_BYTES};
use crate::collecting::{Collecting, IN_MEMORY, ON_DISK, PARTITIONS};
use crate::load::{Load, Measured, Pace, Until};
use crate::table::Table;

const CONNECTIONS: usize = 512;
const WARM_UP: Duration = Duration::from_secs(2);
const ROUND: Duration = Duration::from_secs(5);
/// Rounds of each kind, in turn; the middle one counts.
const ROUNDS: usize = 3;
/// Distinct requests.
pub(crate) const REQUESTS: usize = 2_000;
/// Of the long run: enough that whatever is remembered of clients fills up.
const LONG_REQUESTS: usize = 200_000;
const LONG_CLICKS: u64 = 10_000_000;

const AGENTS: [&str; 4] = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
];

/// A request carries messages of one partition, and what it costs is mostly its own:
/// the fewer partitions, the more clicks share it. So once with those that there are
/// unless set, and once with a partition for each of two cores.
pub(crate) async fn measure(table: &mut Table) -> anyhow::Result<()> {
    in_memory(PARTITIONS, table).await?;
    in_memory(2, table).await
}

async fn in_memory(partitions: u8, table: &mut Table) -> anyhow::Result<()> {
    println!("clicks: a collector with its broker in memory, {partitions} partitions …");
    let memory = Collecting::start_with(IN_MEMORY, partitions).await?;
    let (bare, publishing, durable) = in_turn(&memory).await?;
    table.limit("bare axum 302", bare.per_second, bare.percentiles());
    let what = format!("bare axum 302 after Kafka's acknowledgement ({partitions} partitions)");
    table.figure(&what, publishing.per_second, bare.per_second, publishing.percentiles());
    let what = format!("click, acknowledged by Kafka (in memory, {partitions} partitions)");
    table.figure(&what, durable.per_second, bare.per_second, durable.percentiles());
    at_half_load(&memory, durable.per_second / 2.0, table).await
}

/// The same clicks, with a broker that writes to a disk.
pub(crate) async fn on_disk(table: &mut Table) -> anyhow::Result<()> {
    println!("clicks: a collector with its broker on disk …");
    let disk = Collecting::start(ON_DISK).await?;
    let (bare, publishing, durable) = in_turn(&disk).await?;
    let what = "bare axum 302 after Kafka's acknowledgement (SQLite)";
    table.figure(what, publishing.per_second, bare.per_second, publishing.percentiles());
    let what = "click, acknowledged by Kafka (broker on SQLite)";
    table.figure(what, durable.per_second, bare.per_second, durable.percentiles());
    Ok(())
}

/// Ten million clicks, and the collector's memory before and after most of
/// them.
pub(crate) async fn soak(table: &mut Table) -> anyhow::Result<()> {
    println!("soak: {LONG_CLICKS} clicks, which takes minutes …");
    let collecting = Collecting::start(IN_MEMORY).await?;
    let requests = Arc::new(requests(&collecting.code, LONG_REQUESTS));
    let load = |clicks| Load { until: Until::Sent(clicks), ..clicks_of(&collecting, Arc::clone(&requests)) };
    load(LONG_CLICKS / 10).run().await?;
    let before = collecting.memory()?;
    let measured = load(LONG_CLICKS - LONG_CLICKS / 10).run().await?;
    let after = collecting.memory()?;
    let mb = |bytes: u64| bytes as f64 / 1e6;
    let note = format!("{:.0} MB after a tenth of them, {:.0} MB at the end", mb(before), mb(after));
    table.limit("ten million clicks, the collector's memory", measured.per_second, note);
    Ok(())
}

pub(crate) fn clicks_of(collecting: &Collecting, requests: Arc<Vec<Vec<u8>>>) -> Load {
    Load {
        port: collecting.stack.ports.collector,
        connections: CONNECTIONS,
        requests,
        expected: "HTTP/1.1 302",
        per_second: None,
        until: Until::Over(ROUND),
    }
}

/// Rounds of the bare server, of one that publishes and of the collector, in
/// turn.
async fn in_turn(collecting: &Collecting) -> anyhow::Result<(Measured, Measured, Measured)> {
    let (brokers, topic) = (collecting.stack.brokers(), collecting.stack.topics().events);
    let (bare, publishing) = (Bare::start()?, Bare::start_publishing(&brokers, &topic)?);
    let collector = clicks_of(collecting, Arc::new(requests(&collecting.code, REQUESTS)));
    let of = |port| Load { port, ..collector.clone() };
    let all = [of(bare.port), of(publishing.port), collector];
    for load in &all {
        Load { until: Until::Over(WARM_UP), ..load.clone() }.run().await?;
    }
    let mut measured = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        for (load, measured) in all.iter().zip(&mut measured) {
            measured.push(load.run().await?);
        }
    }
    let [bare, publishing, collector] = measured.map(middle);
    Ok((bare, publishing, collector))
}

fn middle(rounds: Vec<Measured>) -> Measured {
    middle_by(rounds, |a, b| a.per_second.total_cmp(&b.per_second))
}

fn middle_by(mut rounds: Vec<Measured>, order: impl Fn(&Measured, &Measured) -> Ordering) -> Measured {
    rounds.sort_by(order);
    rounds.swap_remove(rounds.len() / 2)
}

/// How long a click takes at half the load, beside what a bare producer waits
/// for the same broker at the same rate, and what a bare server adds to that.
async fn at_half_load(collecting: &Collecting, per_second: f64, table: &mut Table) -> anyhow::Result<()> {
    let (brokers, topic) = (collecting.stack.brokers(), collecting.stack.topics().events);
    let server = Bare::start_publishing(&brokers, &topic)?;
    let requests = Arc::new(requests(&collecting.code, REQUESTS));
    let collector = Load { per_second: Some(per_second), ..clicks_of(collecting, requests) };
    let publishing = Load { port: server.port, ..collector.clone() };
    Load { until: Until::Over(WARM_UP), ..publishing.clone() }.run().await?;
    let (mut own, mut bare, mut clicks) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        own.push(acknowledgements(collecting, per_second).await?);
        bare.push(publishing.run().await?);
        clicks.push(collector.run().await?);
    }
    let by_p99 = |a: &Measured, b: &Measured| a.quantile_ms(0.99).total_cmp(&b.quantile_ms(0.99));
    let [own, bare, clicks] = [own, bare, clicks].map(|rounds| middle_by(rounds, by_p99));
    let of_broker = own.quantile_ms(0.99);
    let times = |measured: &Measured| measured.quantile_ms(0.99) / of_broker;
    let note = format!(
        "p99 {:.1} ms, {:.1} of the broker's own {of_broker:.1} ms; of the bare server {:.1}",
        clicks.quantile_ms(0.99),
        times(&clicks),
        times(&bare),
    );
    table.figure("click at half that load", clicks.per_second, own.per_second, note);
    Ok(())
}

/// What a producer waits for acknowledgements of messages as large as a click.
async fn acknowledgements(collecting: &Collecting, per_second: f64) -> anyhow::Result<Measured> {
    let publisher = Publisher::new(&collecting.stack.brokers(), ProducerSettings::default())?;
    let topic = collecting.stack.topics().events;
    anyhow::ensure!(publisher.connect(&topic, CONNECT_WITHIN), "Kafka does not answer");
    for key in 0..100_u32 {
        publisher.publish(&topic, &key.to_be_bytes(), b"first of all").await?;
    }
    let started = Instant::now();
    let mut running = tokio::task::JoinSet::new();
    for sender in 0..CONNECTIONS {
        let (publisher, topic) = (publisher.clone(), topic.clone());
        running.spawn(async move {
            let mut pace = Pace::new(per_second, sender, CONNECTIONS);
            let mut latency_us = Histogram::<u64>::new(3)?;
            let payload = [b'x'; MESSAGE_BYTES];
            while started.elapsed() < ROUND {
                let due = pace.turn().await;
                publisher.publish(&topic, format!("{sender:032}").as_bytes(), &payload).await?;
                latency_us.record(u64::try_from(due.elapsed().as_micros())?)?;
            }
            anyhow::Ok(latency_us)
        });
    }
    let mut latency_us = Histogram::new(3)?;
    while let Some(ended) = running.join_next().await {
        latency_us.add(ended??)?;
    }
    let per_second = latency_us.len() as f64 / started.elapsed().as_secs_f64();
    Ok(Measured { per_second, latency_us })
}

/// Clicks of visitors with a cookie, and as many without, from many addresses
/// behind a proxy.
pub(crate) fn requests(code: &str, count: usize) -> Vec<Vec<u8>> {
    (0..count)
        .map(|number| {
            let agent = AGENTS[number % AGENTS.len()];
            // As many different agents as requests, where there are many.
            let version = number / REQUESTS;
            let cookie = match number % 2 {
                0 => String::new(),
                _ => format!("Cookie: tvid=visitor-{number:08}\r\n"),
            };
            // Places and networks are known of the first 8,192; the others are known of by
            // their networks alone.
            let address = format!("214.{}.{}.{}", 78 + number / 65_536, number / 256 % 256, number % 256);
            format!(
                "GET /{code} HTTP/1.1\r\nHost: go.example\r\nUser-Agent: {agent} v/{version}\r\n\
                 X-Forwarded-For: {address}\r\nReferer: https://social.example/post/{number}\r\n{cookie}\r\n"
            )
            .into_bytes()
        })
        .collect()
}
