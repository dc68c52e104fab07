//! Settled batches → tables `outcomes` and `touches`. The batch log in Postgres is the
//! outbox: whatever is committed there is loaded, and nothing else.

use std::time::{Duration, Instant};

use clickhouse::Client;
use runtime::retry::repeat;
use runtime::shutdown::CancellationToken;
use store::Pool;
use store::batches::BatchRange;
use store::rollups::{Hours, hour_of};
use store::sinks::{Position, SinkPartition};

use crate::rows::{OutcomeRow, TouchRow};
use crate::{SinkError, insert, token};

/// Batches looked at together.
const MAX_BATCHES: i64 = 500;

/// How the loader runs.
#[derive(Clone, Debug)]
pub struct OutcomeSinkSettings {
    /// The topic whose batches are followed, `credits`.
    pub topic: String,
    /// Rows in one insert, at most (but always a whole batch).
    pub max_rows: usize,
    /// How often the batch log is looked at.
    pub every: Duration,
}

/// What is loaded of a batch; each is a sink of its own, with its own position in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Table {
    Outcomes,
    Touches,
}

impl Table {
    /// The table's name, and the sink's.
    fn name(self) -> &'static str {
        match self {
            Self::Outcomes => "outcomes",
            Self::Touches => "touches",
        }
    }

    /// Its rows of some batches, the same on every reading.
    async fn rows_of(self, pool: &Pool, batches: &[i64]) -> Result<Rows, SinkError> {
        Ok(match self {
            Self::Outcomes => {
                let rows = store::outcomes::of_batches(pool, batches).await?;
                Rows::Outcomes(rows.into_iter().map(OutcomeRow::from).collect())
            }
            Self::Touches => {
                let rows = store::outcomes::touches(pool, batches).await?;
                Rows::Touches(rows.into_iter().map(TouchRow::from).collect())
            }
        })
    }
}

enum Rows {
    Outcomes(Vec<OutcomeRow>),
    Touches(Vec<TouchRow>),
}

impl Rows {
    fn len(&self) -> usize {
        match self {
            Self::Outcomes(rows) => rows.len(),
            Self::Touches(rows) => rows.len(),
        }
    }

    /// The hours whose roll-ups they change.
    fn changed(&self) -> Hours {
        match self {
            Self::Outcomes(rows) => rows.iter().map(|row| (row.workspace_id, hour_of(row.at))).collect(),
            Self::Touches(_) => Hours::new(),
        }
    }

    async fn insert(&self, client: &Client, token: &str) -> Result<(), SinkError> {
        match self {
            Self::Outcomes(rows) => insert(client, Table::Outcomes.name(), token, rows).await,
            Self::Touches(rows) => insert(client, Table::Touches.name(), token, rows).await,
        }
    }
}

/// Which of `batches` (contiguous, from the sink's position on) to load next.
fn take(batches: &[BatchRange], open_last_offset: Option<i64>, max_rows: usize) -> &[BatchRange] {
    let count = match open_last_offset {
        Some(last) => batches.iter().take_while(|batch| batch.last_offset <= last).count(),
        None => {
            let mut rows = 0;
            let fits = |batch: &&BatchRange| {
                rows += usize::try_from(batch.outcome_count).unwrap_or_default();
                rows <= max_rows
            };
            batches.iter().take_while(fits).count().max(1).min(batches.len())
        }
    };
    &batches[..count]
}

/// Runs until `stop` is cancelled. Passing troubles are waited out.
pub async fn run(settings: OutcomeSinkSettings, client: Client, pool: Pool, stop: CancellationToken) {
    let (settings, client, pool) = (&settings, &client, &pool);
    repeat("loading of outcomes", settings.every, &stop, move || async move {
        match load_all(settings, client, pool).await {
            Err(SinkError::Fenced(partition)) => {
                tracing::warn!(partition, "another loader of outcomes is at work");
                Ok(0)
            }
            loaded => loaded,
        }
    })
    .await;
}

/// Loads the next range of every partition; gives how many batches that were.
async fn load_all(settings: &OutcomeSinkSettings, client: &Client, pool: &Pool) -> Result<usize, SinkError> {
    let mut loaded = 0;
    let partitions = store::batches::partitions(pool, &settings.topic).await?;
    for partition in &partitions {
        loaded += load(settings, client, pool, Table::Outcomes, *partition).await?;
    }
    // What explains the outcomes is no reason to wait with them.
    for partition in &partitions {
        match load(settings, client, pool, Table::Touches, *partition).await {
            Ok(more) => loaded += more,
            Err(error) => tracing::warn!(%error, partition, "touches not loaded; trying again"),
        }
    }
    Ok(loaded)
}

async fn load(
    settings: &OutcomeSinkSettings,
    client: &Client,
    pool: &Pool,
    table: Table,
    partition: i32,
) -> Result<usize, SinkError> {
    let at = SinkPartition { sink: table.name(), topic: settings.topic.clone(), partition };
    let Position { next_offset, open_last_offset } = store::sinks::position(pool, &at).await?;
    let batches = store::batches::after(pool, &settings.topic, partition, next_offset, MAX_BATCHES).await?;
    let batches = take(&batches, open_last_offset, settings.max_rows);
    let Some(last) = batches.last().map(|batch| batch.last_offset) else { return Ok(0) };
    let fenced = || SinkError::Fenced(format!("{}/{}/{}", at.sink, at.topic, at.partition));
    let ids: Vec<i64> = batches.iter().map(|batch| batch.id).collect();
    let rows = table.rows_of(pool, &ids).await?;
    let changed = rows.changed();
    if !store::sinks::open(pool, &at, next_offset, last, &changed).await? {
        return Err(fenced());
    }
    let started = Instant::now();
    if rows.len() > 0 {
        rows.insert(client, &token(&at, next_offset, last)).await?;
    }
    metrics::counter!("tributary_sink_rows_total", "table" => table.name()).increment(rows.len() as u64);
    metrics::histogram!("tributary_sink_insert_seconds", "table" => table.name())
        .record(started.elapsed().as_secs_f64());
    if !store::sinks::close(pool, &at, next_offset, last, &changed).await? {
        return Err(fenced());
    }
    Ok(batches.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_batches_are_taken() {
        let batch = |id: i64, rows: i32| BatchRange {
            id,
            first_offset: id * 10,
            last_offset: id * 10 + 9,
            outcome_count: rows,
        };
        let batches = [batch(0, 5), batch(1, 5), batch(2, 50), batch(3, 1)];
        for (open, max_rows, expected) in
            [(None, 10, 2), (None, 1, 1), (None, 1_000, 4), (Some(29), 1, 3), (Some(9), 1_000, 1)]
        {
            assert_eq!(take(&batches, open, max_rows).len(), expected, "{open:?} {max_rows}");
        }
        assert!(take(&[], None, 10).is_empty());
    }
}
