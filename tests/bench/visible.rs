//! From a click's arrival until queries of ClickHouse see it, with everything running.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use hdrhistogram::Histogram;
use runtime::clock::now_ms;
use tests::{Stack, World};

use crate::clicks::{REQUESTS, requests};
use crate::load::{Load, Measured, Until};
use crate::table::Table;

const CLICKS_PER_SECOND: f64 = 5_000.0;
const LASTING: Duration = Duration::from_secs(20);
const GIVE_UP: Duration = Duration::from_secs(120);
/// ClickHouse is asked as often what it has.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// When queries saw a partition up to an offset.
type Seen = BTreeMap<u16, Vec<(u64, i64)>>;

pub(crate) async fn measure(table: &mut Table) -> anyhow::Result<()> {
    for (broker, arguments) in [("in memory", &["--kafka-in-memory"][..]), ("on SQLite", &[])] {
        let (per_second, note) = visible(broker, arguments).await?;
        let what = format!("clicks until ClickHouse shows them (broker {broker})");
        table.limit(&what, per_second, note);
    }
    Ok(())
}

/// Clicks a second, and how long they took.
async fn visible(broker: &str, arguments: &[&str]) -> anyhow::Result<(f64, String)> {
    println!("visible: {CLICKS_PER_SECOND} clicks a second, broker {broker} …");
    let stack = Stack::start_with(&[&["--trusted-proxies", "127.0.0.1"], arguments].concat())?;
    let world = World::create(&stack, "bench").await?;
    let code = world.campaign("click", 5, 1_000_000).await?.code;
    let load = Load {
        port: stack.ports.collector,
        connections: 64,
        requests: Arc::new(requests(&code, REQUESTS)),
        expected: "HTTP/1.1 302",
        per_second: Some(CLICKS_PER_SECOND),
        until: Until::Over(LASTING),
    };
    let mut sending = tokio::spawn(async move { load.run().await });
    let client = stack.clickhouse();
    let mut seen = Seen::new();
    let mut sent = None;
    let since = Instant::now();
    loop {
        ensure!(since.elapsed() < GIVE_UP, "some clicks are never shown");
        let far = "SELECT partition, max(`offset`), toInt64(countIf(kind = 'click')) FROM events GROUP BY partition";
        let partitions: Vec<(u16, u64, i64)> = client.query(far).fetch_all().await?;
        // Only now it is sure that a query has seen it.
        let at_ms = now_ms();
        for (partition, offset, _) in &partitions {
            let looks = seen.entry(*partition).or_default();
            if looks.last().is_none_or(|(last, _)| last < offset) {
                looks.push((*offset, at_ms));
            }
        }
        let shown: i64 = partitions.iter().map(|(.., clicks)| clicks).sum();
        match &sent {
            None if sending.is_finished() => sent = Some((&mut sending).await??),
            Some(Measured { latency_us, .. }) if latency_us.len() == u64::try_from(shown)? => break,
            _ => {}
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let per_second = sent.map_or(0.0, |sent| sent.per_second);
    let clicks =
        "SELECT partition, `offset`, toUnixTimestamp64Milli(received_at) FROM events WHERE kind = 'click'";
    let clicks: Vec<(u16, u64, i64)> = client.query(clicks).fetch_all().await?;
    let mut taken_ms = Histogram::<u64>::new(3)?;
    for (partition, offset, received_ms) in clicks {
        let looks = &seen[&partition];
        let (_, at_ms) = looks[looks.partition_point(|(seen, _)| *seen < offset)];
        taken_ms.record(u64::try_from(at_ms - received_ms)?)?;
    }
    let quantile = |quantile| taken_ms.value_at_quantile(quantile);
    let note = format!("p50 {} ms, p99 {} ms, at most {} ms", quantile(0.5), quantile(0.99), taken_ms.max());
    Ok((per_second, note))
}
