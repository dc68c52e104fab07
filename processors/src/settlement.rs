//! `credits` → outcomes, budgets and ledger in Postgres, exactly once.
//!
//! One transaction a batch: compare-and-set of the offset, which locks the
//! partition's row and fences a second settler; what is known of the batch's
//! ids; the budgets, locked; the plan, which is pure; then batch row, outcomes,
//! ledger and budgets. A crash anywhere leaves nothing or all of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::chain::Records;
use domain::command::Command;
use domain::settlement::{Plan, campaigns_of, ids_of, settle};
use runtime::consumer::{Batch, BatchLimits, Consumer, PartitionOwner};
use runtime::producer::Publisher;
use runtime::retry::Backoff;
use runtime::shutdown::CancellationToken;
use runtime::topics::Topics;
use store::batches::NewBatch;
use store::{Pool, StoreError};
use tokio::runtime::Handle;

use crate::ProcessorError;
use crate::dead_letter::DeadLetter;

/// How settlement runs.
#[derive(Clone, Debug)]
pub struct SettlementSettings {
    /// Kafka's bootstrap servers.
    pub brokers: String,
    /// The consumer group; its members share the partitions.
    pub group: String,
    /// The topics.
    pub topics: Topics,
    /// Messages in one transaction.
    pub batch: BatchLimits,
}

/// What settling a batch came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Settled {
    /// It is in the books.
    Committed(Box<Plan>),
    /// Another settler has moved on; the books are as it left them.
    Fenced,
}

/// A range of a partition's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The partition.
    pub partition: i32,
    /// Where settlement is believed to stand.
    pub first_offset: i64,
    /// The last offset of the range.
    pub last_offset: i64,
}

/// Settles `commands`, which are all that `range` holds.
///
/// # Errors
/// When the database fails; if the commit's answer was lost, the batch may be
/// in the books, which the next try finds out by being fenced.
pub async fn settle_batch(
    pool: &Pool,
    range: Range<'_>,
    commands: &[Command],
) -> Result<Settled, StoreError> {
    let mut transaction = store::begin(pool).await?;
    let Range { topic, partition, first_offset, last_offset } = range;
    let next = last_offset + 1;
    if !store::offsets::advance(&mut transaction, topic, partition, first_offset, next).await? {
        return Ok(Settled::Fenced);
    }
    // Budgets before ids: whatever another partition's settler does to the
    // same campaign is then over, and seen by the next statement.
    let budgets = store::ledger::lock_budgets(&mut transaction, &campaigns_of(commands)).await?;
    let known = store::outcomes::known(&mut transaction, &ids_of(commands)).await?;
    let plan = settle(commands, known, budgets);
    let records = Records::of(&plan);
    let previous_hash = store::batches::last_hash(&mut transaction, topic, partition).await?;
    let batch = NewBatch {
        topic,
        partition,
        first_offset,
        last_offset,
        outcome_count: plan.outcomes.len(),
        transaction_count: plan.transactions.len(),
        line_count: records.lines.len(),
        previous_hash,
        hash: records.chained(&previous_hash),
    };
    let batch = store::batches::insert(&mut transaction, &batch).await?;
    let inserted = store::outcomes::insert(&mut transaction, batch, &plan.outcomes).await?;
    if inserted != plan.outcomes.len() as u64 {
        // The same event came through another partition at this very moment.
        // Nothing of this try stands; the next one will know it.
        return Err(StoreError::Row {
            table: "outcomes",
            message: "another settler wrote the same event first; trying again".to_owned(),
        });
    }
    store::outcomes::quarantine(&mut transaction, batch, &plan.quarantined).await?;
    store::ledger::insert_fundings(&mut transaction, batch, &plan.fundings).await?;
    store::ledger::post(&mut transaction, batch, &plan.transactions, &plan.account_changes()).await?;
    store::ledger::save_budgets(&mut transaction, plan.budgets.values()).await?;
    store::commit(transaction).await?;
    Ok(Settled::Committed(Box::new(plan)))
}

/// Positions, from Postgres.
struct Offsets {
    pool: Pool,
    topic: String,
    handle: Handle,
    stop: CancellationToken,
}

impl Offsets {
    /// Where settlement stands; waits for Postgres, unless told to stop.
    fn next(&self, partition: i32) -> i64 {
        let mut backoff = Backoff::default();
        loop {
            match self.handle.block_on(store::offsets::next_offset(&self.pool, &self.topic, partition)) {
                Ok(offset) => return offset,
                Err(error) => tracing::warn!(partition, %error, "cannot read where settlement stands"),
            }
            if self.stop.is_cancelled() {
                return 0;
            }
            std::thread::sleep(backoff.next_wait());
        }
    }
}

impl PartitionOwner for Offsets {
    fn assigned(&self, partition: i32) -> i64 {
        self.next(partition)
    }

    fn revoked(&self, _partition: i32) {}
}

struct Settlement {
    settings: SettlementSettings,
    pool: Pool,
    dead_letter: DeadLetter,
    offsets: Arc<Offsets>,
    handle: Handle,
    stop: CancellationToken,
}

/// Runs until `stop` is cancelled. Blocks; call it on a thread that may.
/// `handle` is the runtime that the database's connections live on.
///
/// # Errors
/// When Kafka or Postgres refuses for good. Passing troubles are waited out.
pub fn run(
    settings: SettlementSettings,
    pool: Pool,
    publisher: Publisher,
    handle: Handle,
    stop: CancellationToken,
) -> Result<(), ProcessorError> {
    let offsets = Arc::new(Offsets {
        pool: pool.clone(),
        topic: settings.topics.credits.clone(),
        handle: handle.clone(),
        stop: stop.clone(),
    });
    let owner = Arc::clone(&offsets) as Arc<dyn PartitionOwner>;
    let consumer = Consumer::new(&settings.brokers, &settings.group, &settings.topics.credits, owner)?;
    let dead_letter = DeadLetter { publisher, topic: settings.topics.dead_letter.clone() };
    let settlement = Settlement { settings, pool, dead_letter, offsets, handle, stop };
    settlement.run(&consumer)
}

impl Settlement {
    fn run(&self, consumer: &Consumer) -> Result<(), ProcessorError> {
        while !self.stop.is_cancelled() {
            for batch in consumer.poll(Duration::from_millis(200), self.settings.batch)? {
                self.process(consumer, &batch)?;
            }
        }
        tracing::info!("settlement stopped");
        Ok(())
    }

    /// Settles a batch; on trouble that may pass, tries again until it does.
    fn process(&self, consumer: &Consumer, batch: &Batch) -> Result<(), ProcessorError> {
        let topic = &self.settings.topics.credits;
        let Some(commands) = self.dead_letter.read_batch::<Command>(topic, batch, &self.handle, &self.stop)
        else {
            return Ok(());
        };
        let commands: Vec<Command> = commands.into_iter().map(|(_, command)| command).collect();
        let range = Range {
            topic,
            partition: batch.partition,
            first_offset: batch.first_offset,
            last_offset: batch.last_offset,
        };
        let mut backoff = Backoff::default();
        while !self.stop.is_cancelled() {
            let started = Instant::now();
            match self.handle.block_on(settle_batch(&self.pool, range, &commands)) {
                Ok(Settled::Committed(plan)) => {
                    count(&plan, started);
                    return Ok(());
                }
                Ok(Settled::Fenced) => {
                    let next = self.offsets.next(batch.partition);
                    tracing::warn!(
                        partition = batch.partition,
                        first_offset = batch.first_offset,
                        next,
                        "another settler has moved on, or a lost commit went through; following"
                    );
                    consumer.seek(batch.partition, next)?;
                    return Ok(());
                }
                Err(error) => {
                    tracing::warn!(partition = batch.partition, %error, "batch not settled; trying again");
                    metrics::counter!("tributary_settlement_retries_total").increment(1);
                }
            }
            std::thread::sleep(backoff.next_wait());
        }
        Ok(())
    }
}

fn count(plan: &Plan, started: Instant) {
    for outcome in &plan.outcomes {
        let reason = outcome.reason.map_or("none", |reason| reason.code());
        metrics::counter!("tributary_settlement_outcomes_total", "status" => outcome.status.code(), "reason" => reason)
            .increment(1);
    }
    if !plan.quarantined.is_empty() {
        tracing::warn!(count = plan.quarantined.len(), "messages were quarantined");
        metrics::counter!("tributary_settlement_quarantined_total").increment(plan.quarantined.len() as u64);
    }
    metrics::histogram!("tributary_settlement_batch_seconds").record(started.elapsed().as_secs_f64());
}
