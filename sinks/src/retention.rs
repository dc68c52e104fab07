//! Events that a workspace does not keep any longer: named as gone in Postgres, where
//! reports, roll-ups and the comparison with the books heed it, and deleted a while later.
//! Hours that are rolled up stay as they are, and outcomes and touches belong to the books.

use std::time::Duration;

use clickhouse::Client;
use runtime::clock::now_ms;
use runtime::retry::repeat;
use runtime::shutdown::CancellationToken;
use store::Pool;
use store::retention::Expiring;

use crate::{SinkError, delete};

/// How often it is looked what has expired.
const EVERY: Duration = Duration::from_secs(60);
/// What was named as gone is deleted so much later: until then a mistake can be taken back,
/// and whatever was asked before finds its events.
const GRACE_MS: i64 = 24 * 3_600_000;

/// Runs until `stop` is cancelled. Passing troubles are waited out.
pub async fn run(client: Client, pool: Pool, stop: CancellationToken) {
    let (client, pool) = (&client, &pool);
    repeat("deleting expired events", EVERY, &stop, move || expire_due(client, pool, now_ms())).await;
}

/// Names what has expired by `now_ms`, and deletes what was named a day ago; says of how
/// many workspaces something was deleted.
///
/// # Errors
/// When either database fails.
pub async fn expire_due(client: &Client, pool: &Pool, now_ms: i64) -> Result<usize, SinkError> {
    let expiring = store::retention::due(pool).await?;
    let mut held_back_ms = 0;
    for one in &expiring {
        let before_ms = one.before_ms_at(now_ms);
        held_back_ms = held_back_ms.max(one.due_ms_at(now_ms) - before_ms);
        // One step after the other: what is named next is named once this is deleted.
        if one.is_deleted() && before_ms > one.before_ms {
            store::retention::name(pool, one.workspace_id, before_ms).await?;
        }
    }
    metrics::gauge!("tributary_retention_held_back_seconds").set((held_back_ms / 1_000) as f64);
    let gone: Vec<Expiring> =
        expiring.into_iter().filter(|one| !one.is_deleted() && one.named_for_ms >= GRACE_MS).collect();
    if !gone.is_empty() {
        delete_expired(client, &gone).await?;
    }
    for Expiring { workspace_id, before_ms, .. } in &gone {
        store::retention::deleted(pool, *workspace_id, *before_ms).await?;
        tracing::info!(workspace = %workspace_id, before_ms, "expired events deleted");
    }
    Ok(gone.len())
}

/// Deletes what tells of single people from before the moments that were named; what is kept
/// by month, once all of the month has expired, in every zone. All workspaces at once:
/// each deletion writes the months anew that they share. That somebody asked to be erased stays.
async fn delete_expired(client: &Client, gone: &[Expiring]) -> Result<(), SinkError> {
    for (table, expired) in [
        ("events", "kind != 'erase' AND at < "),
        ("refused_rows", "received_at < "),
        ("visitor_sessions", "hour < "),
        ("visitor_acts", "addMonths(month, 1) < "),
        ("visitor_months", "addMonths(month, 1) < "),
    ] {
        let of_workspace = |one: &Expiring| {
            let Expiring { workspace_id, before_ms, .. } = one;
            format!(
                "workspace_id = '{workspace_id}' AND {expired}fromUnixTimestamp64Milli({before_ms}, 'UTC')"
            )
        };
        let conditions: Vec<String> = gone.iter().map(of_workspace).collect();
        delete(client, table, &format!("({})", conditions.join(") OR ("))).await?;
    }
    Ok(())
}
