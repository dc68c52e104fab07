//! Readings of social accounts → table `social_metrics`.
//!
//! A reading says what there was at a moment, and is no increment: one that is
//! inserted twice, because a loader was cut off before it could say so, replaces
//! itself.

use std::time::Duration;

use clickhouse::{Client, Row};
use runtime::retry::Backoff;
use runtime::shutdown::CancellationToken;
use serde::{Deserialize, Serialize};
use store::Pool;
use store::social::WaitingReading;
use uuid::Uuid;

use crate::{SinkError, insert};

/// How often new readings are looked for.
const EVERY: Duration = Duration::from_secs(2);
/// So many are loaded at a time.
const BATCH: i64 = 10_000;

/// A row of `social_metrics`.
#[derive(Clone, Debug, PartialEq, Row, Serialize, Deserialize)]
struct MetricsRow {
    #[serde(with = "clickhouse::serde::uuid")]
    workspace_id: Uuid,
    #[serde(with = "clickhouse::serde::uuid")]
    account_id: Uuid,
    post_id: String,
    captured_at: i64,
    #[serde(with = "clickhouse::serde::uuid")]
    creator_id: Uuid,
    platform: String,
    published_at: Option<i64>,
    followers: Option<u64>,
    following: Option<u64>,
    posts: Option<u64>,
    views: Option<u64>,
    impressions: Option<u64>,
    reach: Option<u64>,
    likes: Option<u64>,
    comments: Option<u64>,
    shares: Option<u64>,
    clicks: Option<u64>,
    saves: Option<u64>,
    version: u64,
}

impl From<WaitingReading> for MetricsRow {
    fn from(reading: WaitingReading) -> Self {
        let figures = reading.figures.0;
        Self {
            workspace_id: reading.workspace_id,
            account_id: reading.account_id,
            post_id: reading.post_id,
            captured_at: reading.captured_at_ms,
            creator_id: reading.creator_id,
            platform: reading.platform,
            published_at: reading.published_at_ms,
            followers: figures.followers,
            following: figures.following,
            posts: figures.posts,
            views: figures.views,
            impressions: figures.impressions,
            reach: figures.reach,
            likes: figures.likes,
            comments: figures.comments,
            shares: figures.shares,
            clicks: figures.clicks,
            saves: figures.saves,
            version: reading.id.unsigned_abs(),
        }
    }
}

/// Runs until `stop` is cancelled. Passing troubles are waited out.
pub async fn run(client: Client, pool: Pool, stop: CancellationToken) {
    let mut backoff = Backoff::default();
    while !stop.is_cancelled() {
        let wait = match load_waiting(&client, &pool).await {
            Ok(loaded) => {
                backoff.reset();
                if loaded == BATCH.unsigned_abs() { Duration::ZERO } else { EVERY }
            }
            Err(error) => {
                tracing::warn!(%error, "social readings cannot be loaded; trying again");
                backoff.next_wait()
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stop.cancelled() => {}
        }
    }
    tracing::info!("loading of social readings stopped");
}

/// Loads what waits, up to a batch of it; says how many readings that were.
///
/// # Errors
/// When either database fails; what was taken then waits on.
pub async fn load_waiting(client: &Client, pool: &Pool) -> Result<u64, SinkError> {
    let mut transaction = store::begin(pool).await?;
    let readings = store::social::take_readings(&mut transaction, BATCH).await?;
    if readings.is_empty() {
        return Ok(0);
    }
    let rows: Vec<MetricsRow> = readings.into_iter().map(MetricsRow::from).collect();
    // A try of its own each time: a repeat may come with other readings.
    insert(client, "social_metrics", &runtime::random::hex_id(), &rows).await?;
    store::commit(transaction).await?;
    metrics::counter!("tributary_sink_rows_total", "table" => "social_metrics").increment(rows.len() as u64);
    Ok(rows.len() as u64)
}
