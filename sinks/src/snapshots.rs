//! Leaderboards as they stood, on schedule → table `leaderboard_snapshots`.
//!
//! Every so often, at round times, the boards of every workspace and cohort are
//! captured, for each window that ends there. The capture is written to Postgres
//! before the insert and closed after it, like a range of offsets: of two
//! capturers one does it, and one that was cut off is done again under the same
//! token.

use std::time::Duration;

use clickhouse::{Client, Row};
use runtime::clock::now_ms;
use runtime::retry::Backoff;
use runtime::shutdown::CancellationToken;
use serde::{Deserialize, Serialize};
use store::Pool;
use store::control::WorkspaceRow;
use store::periods::{Unit, Window, buckets};
use store::rollups::{HourlyTables, Hours};
use store::sinks::{Position, SinkPartition};
use uuid::Uuid;

use crate::{SinkError, insert, token};

const SINK: &str = "leaderboards";
const SNAPSHOT: &str = concat!(
    "WITH\n",
    include_str!("../../clickhouse/queries/counted_clicks.sql"),
    ",\n",
    include_str!("../../clickhouse/queries/counted_outcomes.sql"),
    ",\n",
    include_str!("../../clickhouse/queries/scope.sql"),
    ",\n",
    include_str!("../../clickhouse/queries/social_readings.sql"),
    ",\n",
    include_str!("../../clickhouse/queries/social_gains.sql"),
    ",\n",
    include_str!("../../clickhouse/queries/engagements.sql"),
    ",\n",
    include_str!("../../clickhouse/queries/creator_figures.sql"),
    include_str!("../../clickhouse/queries/leaderboard_snapshot.sql")
);
/// So many ranks of each board are kept.
const BEST: u32 = 1_000;

/// A row of `leaderboard_snapshots`.
#[derive(Clone, Debug, PartialEq, Row, Serialize, Deserialize)]
struct SnapshotRow {
    #[serde(with = "clickhouse::serde::uuid")]
    workspace_id: Uuid,
    scope: String,
    metric: String,
    period: String,
    captured_at: u32,
    #[serde(with = "clickhouse::serde::uuid")]
    creator_id: Uuid,
    rank: u32,
    value: f64,
}

#[derive(Row, Deserialize)]
struct Ranked {
    metric: String,
    #[serde(with = "clickhouse::serde::uuid")]
    creator_id: Uuid,
    rank: u64,
    value: f64,
}

/// Runs until `stop` is cancelled; captures at each multiple of `every`. Passing
/// troubles are waited out.
pub async fn run(every: Duration, client: Client, pool: Pool, stop: CancellationToken) {
    let mut backoff = Backoff::default();
    while !stop.is_cancelled() {
        let wait = match capture_due(every, &client, &pool, now_ms() / 1_000).await {
            Ok(()) => {
                backoff.reset();
                every / 10
            }
            // What went wrong, and where, is said already.
            Err(SinkError::Fenced(_)) => every / 10,
            Err(_) => backoff.next_wait(),
        };
        tokio::select! {
            () = tokio::time::sleep(wait.min(Duration::from_secs(30))) => {}
            () = stop.cancelled() => {}
        }
    }
    tracing::info!("leaderboard snapshots stopped");
}

/// How far the workspace's clocks are ahead of UTC, in seconds.
async fn ahead_s(pool: &Pool, workspace: &WorkspaceRow, now_s: i64) -> Result<i64, SinkError> {
    let now_ms = now_s * 1_000;
    let hours = buckets(pool, Unit::Hour, &workspace.time_zone, (now_ms, now_ms + 1), 1).await?;
    Ok(hours.first().map_or(0, |hour| i64::from(hour.ahead_minutes) * 60))
}

/// The last round time of clocks so far ahead of UTC whose events should have been
/// loaded by now, in seconds since 1970.
fn due_s(now_s: i64, every: Duration, ahead_s: i64) -> i64 {
    let every_s = i64::try_from(every.as_secs()).unwrap_or(i64::MAX).max(1);
    let settled_s = now_s - (every_s / 10).min(60);
    settled_s - (settled_s + ahead_s).rem_euclid(every_s)
}

/// Captures what is due as of `now_s`, in seconds since 1970, and not yet done, of
/// every workspace whose outcomes are loaded.
///
/// # Errors
/// When either database fails, or another process is at it; the last of them.
pub async fn capture_due(every: Duration, client: &Client, pool: &Pool, now_s: i64) -> Result<(), SinkError> {
    let mut result = Ok(());
    for workspace in store::control::list_workspaces(pool).await? {
        // One workspace's trouble is none of the others'.
        if let Err(error) = capture_workspace(every, client, pool, &workspace, now_s).await {
            tracing::warn!(workspace = workspace.slug, %error, "leaderboards not captured; trying again");
            result = Err(error);
        }
    }
    result
}

async fn capture_workspace(
    every: Duration,
    client: &Client,
    pool: &Pool,
    workspace: &WorkspaceRow,
    now_s: i64,
) -> Result<(), SinkError> {
    let at = SinkPartition { sink: SINK, topic: workspace.id.to_string(), partition: 0 };
    let Position { next_offset, open_last_offset } = store::sinks::position(pool, &at).await?;
    // One that was begun is ended first. Seconds count as offsets do.
    let captured_s = match open_last_offset {
        Some(open_s) => open_s,
        None => due_s(now_s, every, ahead_s(pool, workspace, now_s).await?),
    };
    if captured_s < next_offset {
        return Ok(());
    }
    let behind_since_ms = store::sinks::watermark(pool, "outcomes").await?;
    if behind_since_ms.is_some_and(|ms| ms < captured_s * 1_000) {
        tracing::debug!(workspace = workspace.slug, "leaderboards wait for outcomes to be loaded");
        return Ok(());
    }
    let fenced = || SinkError::Fenced(workspace.slug.clone());
    if !store::sinks::open(pool, &at, next_offset, captured_s, &Hours::new()).await? {
        return Err(fenced());
    }
    let rows = capture(client, pool, workspace, captured_s).await?;
    if !rows.is_empty() {
        insert(client, "leaderboard_snapshots", &token(&at, next_offset, captured_s), &rows).await?;
    }
    if !store::sinks::close(pool, &at, next_offset, captured_s, &Hours::new()).await? {
        return Err(fenced());
    }
    metrics::counter!("tributary_sink_rows_total", "table" => "leaderboard_snapshots")
        .increment(rows.len() as u64);
    Ok(())
}

/// All boards of a workspace as of a moment.
async fn capture(
    client: &Client,
    pool: &Pool,
    workspace: &WorkspaceRow,
    captured_s: i64,
) -> Result<Vec<SnapshotRow>, SinkError> {
    let mut scopes = vec![("all".to_owned(), None)];
    for cohort in store::cohorts::list(pool, workspace.id, None).await? {
        let creators: Vec<String> = cohort.creators.iter().map(Uuid::to_string).collect();
        scopes.push((format!("cohort:{}", cohort.id), Some(creators)));
    }
    let to_ms = captured_s * 1_000;
    let mut rows = Vec::new();
    for window in Window::ALL {
        let from_ms = store::periods::start_ms(pool, window, &workspace.time_zone, to_ms).await?;
        for (scope, creators) in &scopes {
            let board = board(client, pool, workspace, (from_ms, to_ms), creators.as_deref()).await?;
            rows.extend(board.into_iter().map(|ranked| SnapshotRow {
                workspace_id: workspace.id,
                scope: scope.clone(),
                metric: ranked.metric,
                period: window.code().to_owned(),
                captured_at: u32::try_from(captured_s).unwrap_or(u32::MAX),
                creator_id: ranked.creator_id,
                rank: u32::try_from(ranked.rank).unwrap_or(u32::MAX),
                value: ranked.value,
            }));
        }
    }
    Ok(rows)
}

/// The best of a time by each metric, among `creators` if there are any named.
async fn board(
    client: &Client,
    pool: &Pool,
    workspace: &WorkspaceRow,
    (from_ms, to_ms): (i64, i64),
    creators: Option<&[String]>,
) -> Result<Vec<Ranked>, SinkError> {
    let mut counted = store::rollups::to_count(pool, workspace.id, (from_ms, to_ms), &[]).await?;
    loop {
        let board = client
            .query(SNAPSHOT)
            .with_setting("max_query_size", crate::MAX_QUERY_BYTES)
            .bind(&counted.clicks.asked_s)
            .bind(&counted.clicks.near_s)
            .bind(&counted.outcomes.asked_s)
            .param("all_hours", counted.clicks.all)
            .param("all_outcome_hours", counted.outcomes.all)
            .bind(Vec::<String>::new())
            .bind(creators.unwrap_or_default())
            .param("all_campaigns", true)
            .param("hourly_clicks", HourlyTables::BY_CREATOR.clicks)
            .param("hourly_outcomes", HourlyTables::BY_CREATOR.outcomes)
            .param("all_creators", creators.is_none())
            .param("workspace", workspace.id.to_string())
            .param("currency", &workspace.currency)
            .param("from_ms", from_ms)
            .param("to_ms", to_ms)
            .param("best", BEST)
            .fetch_all()
            .await?;
        match store::rollups::more_to_count(pool, workspace.id, (from_ms, to_ms), &[], &counted).await? {
            // What was loaded meanwhile is in some of its figures, and not in others.
            Some(more) => counted = more,
            None => return Ok(board),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captures_are_due_at_round_times_and_a_little_later() {
        let every = Duration::from_secs(3_600);
        for (now_s, due) in [(7_200, 3_600), (7_259, 3_600), (7_260, 7_200), (10_859, 7_200)] {
            assert_eq!(due_s(now_s, every, 0), due, "{now_s}");
            assert_eq!(due_s(now_s, every, -7_200), due, "{now_s}");
            // Full hours of India are half hours of Greenwich.
            assert_eq!(due_s(now_s + 1_800, every, 19_800), due + 1_800, "{now_s}");
        }
        assert_eq!(due_s(19, Duration::from_secs(10), 0), 10);
        assert_eq!(due_s(20, Duration::from_secs(10), 0), 10);
        assert_eq!(due_s(7, Duration::ZERO, 0), 7);
    }
}
