//! What has been collected and is not processed to its end yet.

use std::collections::HashMap;

use anyhow::Context as _;
use hyper::Method;
use runtime::progress::Progress;

use crate::http_client::HttpClient;
use crate::settings::{ATTRIBUTION, Settings};

/// Messages and batches between a service and the end of what it reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Backlog {
    /// Events in the collector's spool, not in Kafka; none where it does not
    /// answer.
    pub(crate) spool: i64,
    /// Events not attributed.
    pub(crate) attribution: i64,
    /// Credits not settled.
    pub(crate) settlement: i64,
    /// Events not in ClickHouse.
    pub(crate) event_sink: i64,
    /// Settled offsets not in ClickHouse.
    pub(crate) outcome_sink: i64,
}

impl Backlog {
    pub(crate) fn is_empty(self) -> bool {
        self == Self::default()
    }

    /// Shows it as gauges.
    pub(crate) fn record(self) {
        let Self { spool, attribution, settlement, event_sink, outcome_sink } = self;
        for (service, messages) in [
            ("spool", spool),
            ("attribution", attribution),
            ("settlement", settlement),
            ("event_sink", event_sink),
            ("outcome_sink", outcome_sink),
        ] {
            metrics::gauge!("tributary_backlog_messages", "service" => service).set(messages as f64);
        }
    }
}

/// How far a reader at `position` is from `end`. One that has moved on since the
/// end was asked for is not behind, and makes up for no other partition.
fn behind(end: i64, position: i64) -> i64 {
    (end - position).max(0)
}

/// Measures the backlog of every service.
pub(crate) async fn measure(settings: &Settings) -> anyhow::Result<Backlog> {
    let topics = settings.topics();
    // In the order of the flow: what moves on meanwhile is then seen further
    // down, not missed.
    let spool = spooled(settings).await.unwrap_or_default();
    let (attribution, event_ends) = attribution(settings).await?;
    let pool = store::connect(&settings.database_url, 1).await?;
    let sinks: HashMap<(String, String, i32), i64> = store::sinks::list(&pool)
        .await?
        .into_iter()
        .map(|(sink, topic, partition, next, _)| ((sink, topic, partition), next))
        .collect();
    let loaded = |sink: &str, topic: &str, partition: i32| {
        sinks.get(&(sink.to_owned(), topic.to_owned(), partition)).copied().unwrap_or_default()
    };
    let event_sink = event_ends
        .iter()
        .map(|(partition, end)| behind(*end, loaded("events", &topics.events, *partition)))
        .sum();
    let settled: HashMap<i32, i64> = store::offsets::list(&pool)
        .await?
        .into_iter()
        .filter(|(topic, _, _)| *topic == topics.credits)
        .map(|(_, partition, next)| (partition, next))
        .collect();
    // Refunds on their way to their campaigns will be on the topic.
    let (_, unsent) = store::refunds::counts(&pool).await?;
    let credit_ends = ends(settings, topics.credits.clone()).await?;
    let unsettled: i64 = credit_ends
        .iter()
        .map(|(partition, end)| behind(*end, settled.get(partition).copied().unwrap_or_default()))
        .sum();
    let settlement = unsettled + unsent;
    let outcome_sink = settled
        .iter()
        .flat_map(|(partition, next)| {
            // Two tables, each with its own position.
            ["outcomes", "touches"].map(|table| behind(*next, loaded(table, &topics.credits, *partition)))
        })
        .sum();
    Ok(Backlog { spool, attribution, settlement, event_sink, outcome_sink })
}

/// What the collector says of its spool.
async fn spooled(settings: &Settings) -> Option<i64> {
    let url = format!("http://{}/metrics", settings.listen);
    let answer = HttpClient::new().send(Method::GET, &url, &[], "").await.ok()?;
    let text = String::from_utf8(answer.body.to_vec()).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix("tributary_spool_events "))?;
    // A gauge is written as a float; this one holds whole numbers.
    value.trim().parse::<f64>().ok().map(|events| events as i64)
}

type Ends = Vec<(i32, i64)>;

async fn attribution(settings: &Settings) -> anyhow::Result<(i64, Ends)> {
    let (brokers, topic, group) =
        (settings.brokers.clone(), settings.topics().events, settings.group(ATTRIBUTION));
    let ask = move || {
        let progress = Progress::new(&brokers, &group)?;
        let ends = progress.end_offsets(&topic)?;
        let partitions: Vec<i32> = ends.iter().map(|(partition, _)| *partition).collect();
        let reported: HashMap<i32, Option<i64>> =
            progress.reported(&topic, &partitions)?.into_iter().collect();
        let position = |partition| reported.get(&partition).copied().flatten().unwrap_or_default();
        let behind = ends.iter().map(|(partition, end)| behind(*end, position(*partition))).sum();
        Ok((behind, ends))
    };
    tokio::task::spawn_blocking(ask).await.context("asking Kafka panicked")?
}

async fn ends(settings: &Settings, topic: String) -> anyhow::Result<Ends> {
    let (brokers, group) = (settings.brokers.clone(), settings.group(ATTRIBUTION));
    let ask = move || Ok(Progress::new(&brokers, &group)?.end_offsets(&topic)?);
    tokio::task::spawn_blocking(ask).await.context("asking Kafka panicked")?
}
