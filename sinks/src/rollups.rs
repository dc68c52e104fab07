//! Events and outcomes → tables `hourly_clicks`, `hourly_visits`, `visitor_months`,
//! `visitor_acts`, `visitor_sessions` and `hourly_outcomes`; the first and the last of these
//! → the same by creator alone, and these → the same of all creators.
//!
//! A sink names the hours that a range may change when it opens it, and marks them in the
//! statement that closes it (`store::rollups`). Here the marks are taken first, then the hours are counted anew
//! and replace what stood there, and then those marks are cleared that nobody renewed
//! meanwhile. Reports count marked hours from the events themselves, so that whatever
//! dies in between costs speed, and never a figure.

use std::time::Duration;

use clickhouse::Client;
use clickhouse::query::Query;
use runtime::clock::now_ms;
use runtime::retry::repeat;
use runtime::shutdown::CancellationToken;
use store::Pool;
use store::control::WorkspaceRow;
use store::rollups::{
    CLICKS_REACH_HOURS, Counted, Due, HOUR_MS, MADE_FOR, SESSION_PART_GAP_MS, Source, VISITS_REACH_HOURS,
    hour_of, reached,
};
use uuid::Uuid;

use crate::SinkError;

/// Marks are looked at as often.
const EVERY: Duration = Duration::from_secs(5);
/// Marks taken together.
const MAX_MARKS: i64 = 2_000;
/// Hours counted in one statement.
const HOURS_AT_ONCE: usize = 5 * 24;

const CLICKS: &str = concat!(
    "INSERT INTO hourly_clicks\nWITH\n",
    include_str!("../../clickhouse/queries/counted_clicks.sql"),
    include_str!("../../clickhouse/rollups/clicks.sql")
);
const OUTCOMES: &str = concat!(
    "INSERT INTO hourly_outcomes\nWITH\n",
    include_str!("../../clickhouse/queries/counted_outcomes.sql"),
    include_str!("../../clickhouse/rollups/outcomes.sql")
);
const CREATOR_CLICKS: &str = concat!(
    "INSERT INTO hourly_creator_clicks\n",
    include_str!("../../clickhouse/rollups/creator_clicks.sql")
);
const CREATOR_OUTCOMES: &str = concat!(
    "INSERT INTO hourly_creator_outcomes\n",
    include_str!("../../clickhouse/rollups/creator_outcomes.sql")
);
const WORKSPACE_CLICKS: &str = concat!(
    "INSERT INTO hourly_workspace_clicks\n",
    include_str!("../../clickhouse/rollups/workspace_clicks.sql")
);
const WORKSPACE_OUTCOMES: &str = concat!(
    "INSERT INTO hourly_workspace_outcomes\n",
    include_str!("../../clickhouse/rollups/workspace_outcomes.sql")
);
const VISITOR_MONTHS: &str =
    concat!("INSERT INTO visitor_months\n", include_str!("../../clickhouse/rollups/visitor_months.sql"));
const VISITOR_ACTS: &str =
    concat!("INSERT INTO visitor_acts\n", include_str!("../../clickhouse/rollups/visitor_acts.sql"));
const VISITOR_SESSIONS: &str = concat!(
    "INSERT INTO visitor_sessions\nWITH\n",
    include_str!("../../clickhouse/queries/counted_sessions.sql"),
    include_str!("../../clickhouse/rollups/visitor_sessions.sql")
);
const VISITS: &str =
    concat!("INSERT INTO hourly_visits\n", include_str!("../../clickhouse/rollups/visits.sql"));

/// Runs until `stop` is cancelled. Passing troubles are waited out.
pub async fn run(client: Client, pool: Pool, stop: CancellationToken) {
    let (client, pool) = (&client, &pool);
    repeat("rolling up", EVERY, &stop, move || roll_due(client, pool)).await;
}

/// Rolls up what is due by now; gives how many marks that were.
///
/// # Errors
/// When either database fails.
pub async fn roll_due(client: &Client, pool: &Pool) -> Result<usize, SinkError> {
    let not_begun = store::rollups::not_begun(pool).await?;
    // Not before all that was there has its place: the tables are migrated in order.
    if !not_begun.is_empty() && !is_migrated(client).await? {
        return Ok(0);
    }
    for (workspace, source) in not_begun {
        let hours = hours_with_rows(client, workspace, &source).await?;
        store::rollups::begin(pool, workspace, &source, &hours).await?;
    }
    let due = store::rollups::due(pool, MAX_MARKS).await?;
    if due.is_empty() {
        return Ok(0);
    }
    let workspaces = store::control::list_workspaces(pool).await?;
    let mut result = Ok(due.len());
    for part in due.chunk_by(|a, b| (a.workspace_id, &a.source) == (b.workspace_id, &b.source)) {
        // Events of a workspace that is in no book are in no report.
        let workspace = workspaces.iter().find(|row| row.id == part[0].workspace_id);
        let rolled = match workspace {
            Some(workspace) => roll(client, pool, workspace, part).await,
            None => Ok(()),
        };
        match rolled {
            Ok(()) => store::rollups::clear(pool, part).await?,
            // One workspace's trouble is none of the others'.
            Err(error) => {
                tracing::warn!(workspace = %part[0].workspace_id, %error, "hours not rolled up");
                result = Err(error);
            }
        }
    }
    result
}

async fn is_migrated(client: &Client) -> Result<bool, SinkError> {
    let query = client.query("SELECT count() FROM schema_migrations WHERE version >= ?").bind(MADE_FOR);
    let found: u64 = query.fetch_one().await?;
    Ok(found > 0)
}

async fn hours_with_rows(client: &Client, workspace: Uuid, source: &str) -> Result<Vec<i64>, SinkError> {
    let hours = client
        .query(
            "SELECT DISTINCT toInt64(toUnixTimestamp(toStartOfHour(at))) * 1000 AS hour_ms
             FROM {source:Identifier} WHERE workspace_id = {workspace:UUID} ORDER BY hour_ms",
        )
        .param("source", source)
        .param("workspace", workspace.to_string())
        .fetch_all()
        .await?;
    Ok(hours)
}

async fn roll(client: &Client, pool: &Pool, workspace: &WorkspaceRow, due: &[Due]) -> Result<(), SinkError> {
    let marks: Vec<i64> = due.iter().map(|due| due.hour_ms).collect();
    let (Some(first), Some(last)) = (marks.first(), marks.last()) else { return Ok(()) };
    // Nothing is later than now but what has a mark.
    let end_ms = (*last).max(hour_of(now_ms())) + HOUR_MS;
    if due[0].source == Source::Outcomes.code() {
        for hours in reached(&marks, (*first, end_ms), 0).chunks(HOURS_AT_ONCE) {
            statement(client, pool, workspace, OUTCOMES, hours)
                .await?
                .bind(hours)
                .param("all_outcome_hours", false)
                .execute()
                .await?;
            for coarser in [CREATOR_OUTCOMES, WORKSPACE_OUTCOMES] {
                statement(client, pool, workspace, coarser, hours).await?.bind(hours).execute().await?;
            }
        }
        return Ok(());
    }
    let reached = |changed_hours, needed_hours| {
        let hours = reached(&marks, (*first, end_ms), changed_hours);
        countable(hours, workspace.expired_before_ms, needed_hours)
    };
    for hours in reached(CLICKS_REACH_HOURS, CLICKS_REACH_HOURS).chunks(HOURS_AT_ONCE) {
        let near = Counted::exactly(hours.to_vec(), CLICKS_REACH_HOURS).near_s;
        statement(client, pool, workspace, CLICKS, hours)
            .await?
            .bind(hours)
            .bind(near)
            .param("all_hours", false)
            .execute()
            .await?;
        for coarser in [CREATOR_CLICKS, WORKSPACE_CLICKS] {
            statement(client, pool, workspace, coarser, hours).await?.bind(hours).execute().await?;
        }
    }
    for hours in reached(0, 0).chunks(HOURS_AT_ONCE) {
        let _alone = store::rollups::alone_with_visitors(pool).await?;
        let query = statement(client, pool, workspace, VISITOR_MONTHS, hours).await?.bind(hours);
        query.param("time_zone", &workspace.time_zone).execute().await?;
        let query = statement(client, pool, workspace, VISITOR_ACTS, hours).await?;
        query.bind(hours).execute().await?;
        let query = statement(client, pool, workspace, VISITOR_SESSIONS, hours).await?.bind(hours);
        query.param("all_hours", false).param("part_gap_ms", SESSION_PART_GAP_MS).execute().await?;
    }
    for hours in runs(&reached(VISITS_REACH_HOURS, VISITS_REACH_HOURS)) {
        statement(client, pool, workspace, VISITS, hours).await?.execute().await?;
    }
    Ok(())
}

/// Those of `hours_s` that can still be counted: whatever happened in the `needed_hours`
/// before them is there. The others stay as they were rolled up.
fn countable(mut hours_s: Vec<i64>, expired_before_ms: i64, needed_hours: i64) -> Vec<i64> {
    if expired_before_ms > 0 {
        let found = hours_s.len();
        hours_s.retain(|hour_s| hour_s * 1_000 >= expired_before_ms + needed_hours * HOUR_MS);
        let left_out = found - hours_s.len();
        metrics::counter!("tributary_rollup_expired_hours_total").increment(left_out as u64);
    }
    hours_s
}

/// Hours that follow each other without a gap, not too many at once.
fn runs(hours_s: &[i64]) -> impl Iterator<Item = &[i64]> {
    hours_s.chunk_by(|a, b| b - a == HOUR_MS / 1_000).flat_map(|run| run.chunks(HOURS_AT_ONCE))
}

/// A statement over the time from the first of `hours_s` to the end of the last.
async fn statement(
    client: &Client,
    pool: &Pool,
    workspace: &WorkspaceRow,
    text: &str,
    hours_s: &[i64],
) -> Result<Query, SinkError> {
    let version = store::rollups::next_version(pool).await?;
    let (first_s, last_s) = (hours_s[0], hours_s[hours_s.len() - 1]);
    Ok(client
        .query(text)
        .with_setting("max_query_size", crate::MAX_QUERY_BYTES)
        // Hours of many months may stand in one statement.
        .with_setting("max_partitions_per_insert_block", "0")
        .param("workspace", workspace.id.to_string())
        .param("currency", &workspace.currency)
        .param("from_ms", first_s * 1_000)
        .param("to_ms", last_s * 1_000 + HOUR_MS)
        .param("version", version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_counted_while_all_is_there() {
        let hours = || (100..105).map(|hour| hour * 3_600).collect::<Vec<i64>>();
        for (expired_hour, needed, expected) in
            [(0, 200, 5), (100, 0, 5), (103, 0, 2), (100, 2, 3), (100, 24, 0)]
        {
            assert_eq!(
                countable(hours(), expired_hour * HOUR_MS, needed).len(),
                expected,
                "{expired_hour} {needed}"
            );
        }
    }

    #[test]
    fn runs_have_no_gaps_and_are_short() {
        let hours: Vec<i64> = (0..200).chain(300..301).map(|hour| hour * 3_600).collect();
        let lengths: Vec<usize> = runs(&hours).map(<[i64]>::len).collect();
        assert_eq!(lengths, [120, 80, 1]);
    }
}
