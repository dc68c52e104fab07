//! Readings of social accounts → table `social_metrics`.
//!
//! A reading says what there was at a moment.

use clickhouse::{Client, Row};
use serde::{Deserialize, Serialize};
use store::Pool;
use store::social::WaitingReading;
use uuid::Uuid;

use crate::{SinkError, insert};

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

/// Loads what waits, up to `limit` of it; says how many readings that were.
///
/// # Errors
/// When either database fails; what was taken then waits on.
pub(crate) async fn load_waiting(client: &Client, pool: &Pool, limit: i64) -> Result<usize, SinkError> {
    let mut transaction = store::begin(pool).await?;
    let readings = store::social::take_readings(&mut transaction, limit).await?;
    if readings.is_empty() {
        return Ok(0);
    }
    let rows: Vec<MetricsRow> = readings.into_iter().map(MetricsRow::from).collect();
    // A try of its own each time: a repeat may come with other readings.
    insert(client, "social_metrics", &runtime::random::hex_id(), &rows).await?;
    store::commit(transaction).await?;
    metrics::counter!("tributary_sink_rows_total", "table" => "social_metrics").increment(rows.len() as u64);
    Ok(rows.len())
}
