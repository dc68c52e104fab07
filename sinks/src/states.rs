//! What waits in Postgres for ClickHouse: readings of social accounts, and names.
//!
//! Both say how something is, and are no increments: what is loaded twice, because a
//! loader was cut off before it could say so, replaces itself.

use std::time::Duration;

use clickhouse::Client;
use runtime::retry::repeat;
use runtime::shutdown::CancellationToken;
use store::Pool;

use crate::{SinkError, names, social};

/// How often it is looked whether something waits.
const EVERY: Duration = Duration::from_secs(2);
/// So many of each are loaded at a time.
const BATCH: usize = 10_000;

/// Runs until `stop` is cancelled. Passing troubles are waited out.
pub async fn run(client: Client, pool: Pool, stop: CancellationToken) {
    let (client, pool) = (&client, &pool);
    repeat("loading of readings and names", EVERY, &stop, move || async move {
        // Less than a batch was all there is.
        load_waiting(client, pool).await.map(|loaded| usize::from(loaded == BATCH))
    })
    .await;
}

/// Loads what waits, up to a batch of each; says how much the larger was.
async fn load_waiting(client: &Client, pool: &Pool) -> Result<usize, SinkError> {
    let limit = i64::try_from(BATCH).unwrap_or(i64::MAX);
    let readings = social::load::load_waiting(client, pool, limit).await?;
    let names = names::load_waiting(client, pool, limit).await?;
    Ok(readings.max(names))
}
