//! Makes the ledger's partitions before their months begin.

use std::time::Duration;

use runtime::retry::repeat;
use runtime::shutdown::CancellationToken;
use store::{Pool, StoreError};

/// How far ahead; migrations make a year.
const MONTHS: i32 = 3;
const EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// Looks every day, until `stop` is cancelled. Safe to run on two machines.
pub async fn run(pool: Pool, stop: CancellationToken) {
    let pool = &pool;
    // What has no partition of its own goes to the default one.
    repeat("making the ledger's partitions", EVERY, &stop, move || async move {
        let made = store::ledger::ensure_partitions(pool, MONTHS).await?;
        if made > 0 {
            tracing::info!(made, "the ledger has new partitions");
        }
        Ok::<_, StoreError>(0)
    })
    .await;
}
