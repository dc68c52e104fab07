//! Makes the ledger's partitions before their months begin.

use std::time::Duration;

use runtime::retry::Backoff;
use runtime::shutdown::CancellationToken;
use store::Pool;

/// How far ahead; migrations make a year.
const MONTHS: i32 = 3;
const EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// Looks every day, until `stop` is cancelled. Safe to run on two machines.
pub async fn run(pool: Pool, stop: CancellationToken) {
    let mut backoff = Backoff::default();
    while !stop.is_cancelled() {
        let wait = match store::ledger::ensure_partitions(&pool, MONTHS).await {
            Ok(made) => {
                if made > 0 {
                    tracing::info!(made, "the ledger has new partitions");
                }
                backoff = Backoff::default();
                EVERY
            }
            // What has no partition of its own goes to the default one.
            Err(error) => {
                tracing::warn!(%error, "the ledger's partitions are not made yet; trying again");
                backoff.next_wait()
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stop.cancelled() => {}
        }
    }
}
