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
/// Nothing that asks for events takes longer: what was begun before they were named as
/// gone still finds them.
const GRACE_MS: i64 = 15 * 60_000;

/// Runs until `stop` is cancelled. Passing troubles are waited out.
pub async fn run(client: Client, pool: Pool, stop: CancellationToken) {
    let (client, pool) = (&client, &pool);
    repeat("deleting expired events", EVERY, &stop, move || expire_due(client, pool, now_ms())).await;
}

/// Names what has expired by `now_ms`, and deletes what was named some time ago; says of
/// how many workspaces something was deleted.
///
/// # Errors
/// When either database fails.
pub async fn expire_due(client: &Client, pool: &Pool, now_ms: i64) -> Result<usize, SinkError> {
    let mut expired = 0;
    for expiring in store::retention::due(pool).await? {
        let Expiring { workspace_id, before_ms, deleted_before_ms, named_for_ms, .. } = expiring;
        if deleted_before_ms < before_ms {
            if named_for_ms >= GRACE_MS {
                delete_before(client, &expiring).await?;
                store::retention::deleted(pool, workspace_id, before_ms).await?;
                tracing::info!(workspace = %workspace_id, before_ms, "expired events deleted");
                expired += 1;
            }
            continue;
        }
        let due_ms = expiring.before_ms_at(now_ms);
        if due_ms > before_ms {
            store::retention::name(pool, workspace_id, due_ms).await?;
        }
    }
    Ok(expired)
}

/// Deletes what tells of single people from before the moment that was named; what is kept
/// by month, once the month is over for all of it.
async fn delete_before(client: &Client, expiring: &Expiring) -> Result<(), SinkError> {
    let Expiring { workspace_id, before_ms, .. } = expiring;
    let moment = format!("fromUnixTimestamp64Milli({before_ms}, 'UTC')");
    for (table, expired) in [
        ("events", format!("at < {moment}")),
        ("refused_rows", format!("received_at < {moment}")),
        ("visitor_sessions", format!("hour < {moment}")),
        ("visitor_acts", format!("month < toStartOfMonth({moment})")),
        ("visitor_months", format!("month < toStartOfMonth({moment})")),
    ] {
        delete(client, table, &format!("workspace_id = '{workspace_id}' AND {expired}")).await?;
    }
    Ok(())
}
