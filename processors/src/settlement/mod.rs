//! `credits` → outcomes, budgets and ledger in Postgres, exactly once.
//!
//! | module | job |
//! |---|---|
//! | here | sees every batch through, while the next is read |
//! | [`batch`] | settles a batch in one transaction |
//! | `clawbacks` | sends refunds whose sale is settled to its campaign |

pub mod batch;
mod clawbacks;

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use domain::command::Command;
use domain::settlement::Plan;
use runtime::consumer::{BatchLimits, Consumer, PartitionOwner};
use runtime::producer::Publisher;
use runtime::retry::Backoff;
use runtime::shutdown::CancellationToken;
use runtime::topics::Topics;
use store::Pool;
use tokio::runtime::Handle;

pub use self::batch::{Range, Settled, settle_batch};
use self::clawbacks::Clawbacks;
use crate::ProcessorError;
use crate::dead_letter::DeadLetter;
use crate::reading::{Read, Reading};

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

/// Reading is ahead of settling by so many batches at most.
const BATCHES_AHEAD: usize = 2;

/// Positions, from Postgres.
struct Offsets {
    pool: Pool,
    topic: String,
    /// How far each partition is known to be settled.
    settled: Mutex<BTreeMap<i32, i64>>,
    handle: Handle,
    stop: CancellationToken,
}

impl Offsets {
    fn settled_to(&self, partition: i32, next_offset: i64) {
        self.settled.lock().expect("no panic while held").insert(partition, next_offset);
    }

    /// Where settlement stands; waits for Postgres, unless told to stop.
    fn next(&self, partition: i32) -> i64 {
        let mut backoff = Backoff::default();
        loop {
            match self.handle.block_on(store::offsets::next_offset(&self.pool, &self.topic, partition)) {
                Ok(offset) => {
                    self.settled_to(partition, offset);
                    return offset;
                }
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

    fn position(&self, partition: i32, read_to: i64) -> i64 {
        let settled = self.settled.lock().expect("no panic while held");
        settled.get(&partition).copied().unwrap_or(read_to)
    }
}

struct Settlement {
    topic: String,
    pool: Pool,
    clawbacks: Clawbacks,
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
        settled: Mutex::default(),
        handle: handle.clone(),
        stop: stop.clone(),
    });
    let owner = Arc::clone(&offsets) as Arc<dyn PartitionOwner>;
    let consumer = Consumer::new(&settings.brokers, &settings.group, &settings.topics.credits, owner)?;
    let clawbacks = Clawbacks::new(pool.clone(), publisher.clone(), settings.topics.credits.clone());
    let topic = settings.topics.credits;
    let reading = Reading {
        topic: topic.clone(),
        dead_letter: DeadLetter { publisher, topic: settings.topics.dead_letter },
        limits: settings.batch,
        batches_ahead: BATCHES_AHEAD,
        handle: handle.clone(),
        stop: stop.clone(),
    };
    let mut settlement = Settlement { topic, pool, clawbacks, offsets, handle, stop };
    reading.run(&consumer, "settlement", || Ok(()), |receiver| settlement.run(&consumer, receiver))
}

impl Settlement {
    fn run(&mut self, consumer: &Consumer, receiver: &Receiver<Read<Command>>) -> Result<(), ProcessorError> {
        loop {
            match receiver.recv_timeout(Duration::from_millis(200)) {
                Ok(read) => self.process(consumer, read)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.handle.block_on(self.clawbacks.send());
        }
        tracing::info!("settlement stopped");
        Ok(())
    }

    /// Settles a batch; on trouble that may pass, tries again until it does.
    fn process(&mut self, consumer: &Consumer, read: Read<Command>) -> Result<(), ProcessorError> {
        let Read { batch, messages } = read;
        if !consumer.is_current(&batch) {
            return Ok(());
        }
        let commands: Vec<Command> = messages.into_iter().map(|(_, command)| command).collect();
        let range = Range {
            topic: &self.topic,
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
                    self.offsets.settled_to(batch.partition, batch.last_offset + 1);
                    self.clawbacks.expect(plan.resolved.len());
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
                    consumer.seek(batch.partition, next);
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
