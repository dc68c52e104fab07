//! Hours that are to be rolled up: marked as the sinks would, and waited for.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use store::rollups::{due, hour_of};
use uuid::Uuid;

/// Says that rows of these moments came just now, and that nothing is rolled up yet.
pub(super) async fn mark(
    owner: &store::Pool,
    workspace: Uuid,
    source: &str,
    moments: impl Iterator<Item = i64>,
) -> anyhow::Result<()> {
    let hours: HashSet<i64> = moments.map(hour_of).collect();
    let hours: Vec<String> =
        hours.iter().map(|hour| format!("('{workspace}', '{source}', {hour}, 'infinity')")).collect();
    let hours = hours.join(", ");
    let mark = format!(
        "INSERT INTO rollup_marks (workspace_id, source, hour_ms, due_at) VALUES {hours}
         ON CONFLICT (workspace_id, source, hour_ms) DO UPDATE SET mark = excluded.mark, due_at = 'infinity'"
    );
    Ok(store::migrate::execute(owner, &mark).await?)
}

/// Lets the marked hours be rolled up, and waits until they are.
pub(super) async fn roll_up(owner: &store::Pool) -> anyhow::Result<()> {
    store::migrate::execute(owner, "UPDATE rollup_marks SET due_at = now()").await?;
    let give_up = Instant::now() + Duration::from_secs(60);
    while !due(owner, 1).await?.is_empty() {
        anyhow::ensure!(Instant::now() < give_up, "hours are not rolled up");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}
