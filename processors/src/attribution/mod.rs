//! `events` → decisions on `credits`.
//!
//! Poll, apply, emit, commit: the fold is [`domain::attribution::Partition`];
//! this reads the memory it asks for, publishes what it gives out, and only
//! then, every second or so, commits changes, clock and position together. After a crash in between,
//! the same credits are emitted again under the same ids, and settlement knows
//! them. How far emission has surely come stands in Postgres too: state that is
//! built anew emits nothing before that.
//!
//! Where nothing comes in, the fold's clock stands still; so a partition that
//! holds events whose time has come is told the time, by a message on the topic
//! itself, and another reading of the log finds it there.

mod partitions;
pub mod state;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use domain::attribution::{Emitted, Policy};
use domain::command::Command;
use domain::event::Event;
use domain::rules::Rules;
use runtime::clock::now_ms;
use runtime::consumer::{Batch, BatchLimits, Consumer, PartitionOwner};
use runtime::producer::{Pending, Publisher};
use runtime::retry::Backoff;
use runtime::shutdown::CancellationToken;
use runtime::topics::Topics;
use store::Pool;
use tokio::runtime::Handle;

use self::partitions::Partitions;
use crate::ProcessorError;
use crate::dead_letter::DeadLetter;

/// How attribution runs.
#[derive(Clone, Debug)]
pub struct AttributionSettings {
    /// Kafka's bootstrap servers.
    pub brokers: String,
    /// The consumer group; its members share the partitions.
    pub group: String,
    /// The topics.
    pub topics: Topics,
    /// Where the local state goes; one directory a process.
    pub state_dir: PathBuf,
    /// Messages in one batch.
    pub batch: BatchLimits,
    /// The fold's bounds.
    pub policy: Policy,
}

/// A partition that holds due events is told the time again after this, should
/// the first message be slow to come back.
const TICK_AGAIN_MS: i64 = 2_000;

struct Attribution {
    settings: AttributionSettings,
    pool: Pool,
    publisher: Publisher,
    dead_letter: DeadLetter,
    partitions: Arc<Partitions>,
    rules: Rules,
    handle: Handle,
    stop: CancellationToken,
}

/// Runs until `stop` is cancelled. Blocks; call it on a thread that may.
/// `handle` is the runtime that the database's connections live on.
///
/// # Errors
/// When the state cannot be used or Kafka refuses for good. Passing troubles
/// are waited out.
pub fn run(
    settings: AttributionSettings,
    pool: Pool,
    publisher: Publisher,
    handle: Handle,
    stop: CancellationToken,
) -> Result<(), ProcessorError> {
    let partitions = Partitions::open(&settings, pool.clone(), handle.clone(), stop.clone())?;
    let partitions = Arc::new(partitions);
    let owner = Arc::clone(&partitions) as Arc<dyn PartitionOwner>;
    let consumer = Consumer::new(&settings.brokers, &settings.group, &settings.topics.events, owner)?;
    let dead_letter = DeadLetter { publisher: publisher.clone(), topic: settings.topics.dead_letter.clone() };
    let rules = Rules::default();
    let mut attribution =
        Attribution { settings, pool, publisher, dead_letter, partitions, rules, handle, stop };
    attribution.run(&consumer)
}

impl Attribution {
    fn run(&mut self, consumer: &Consumer) -> Result<(), ProcessorError> {
        // Half a hold is soon enough to notice that nothing comes in.
        let patience = Duration::from_millis(self.settings.policy.hold_ms.clamp(20, 400).unsigned_abs() / 2);
        while !self.stop.is_cancelled() {
            let batches = consumer.poll(patience, self.settings.batch)?;
            self.partitions.check()?;
            for batch in batches {
                self.process(&batch)?;
            }
            self.partitions.commit(false)?;
            self.tell_the_time();
            self.partitions.record(false);
        }
        self.partitions.commit(true)?;
        self.partitions.record(true);
        tracing::info!("attribution stopped");
        Ok(())
    }

    fn process(&mut self, batch: &Batch) -> Result<(), ProcessorError> {
        let topic = &self.settings.topics.events;
        let Some(events) = self.dead_letter.read_batch::<Event>(topic, batch, &self.handle, &self.stop)
        else {
            return Ok(());
        };
        if !self.cover(&events) {
            return Ok(());
        }
        let count = events.len() as u64;
        let partitions = Arc::clone(&self.partitions);
        let mut open = partitions.lock();
        let Some(partition) = open.get_mut(&batch.partition) else { return Ok(()) };
        let emitted = partition.apply(events, batch.last_offset + 1, &self.rules, &self.settings.policy)?;
        if !self.emit(&emitted) {
            // Stopping, before all was emitted: nothing of this may reach the
            // disk or count as done. It is read again after the next start.
            open.clear();
            return Ok(());
        }
        metrics::counter!("tributary_attribution_events_total").increment(count);
        Ok(())
    }

    /// Waits until the rules are known for all `events`; `false` when told to
    /// stop before.
    fn cover(&mut self, events: &[(i64, Event)]) -> bool {
        let Some(latest_ms) = events.iter().map(|(_, event)| event.at_ms).max() else { return true };
        let mut backoff = Backoff::default();
        while !self.rules.cover(latest_ms) {
            match self.handle.block_on(store::campaigns::load_rules(&self.pool)) {
                Ok(rules) => self.rules = rules,
                Err(error) => tracing::warn!(%error, "cannot read the campaigns' terms"),
            }
            if self.rules.cover(latest_ms) {
                break;
            }
            if self.stop.is_cancelled() {
                return false;
            }
            std::thread::sleep(backoff.next_wait());
        }
        true
    }

    /// Publishes what came out, again and again until all is acknowledged;
    /// `false` when told to stop before.
    fn emit(&self, emitted: &[Emitted]) -> bool {
        let mut backoff = Backoff::default();
        loop {
            match self.handle.block_on(self.publish(emitted)) {
                Ok(()) => return true,
                Err(error) => tracing::warn!(%error, "credits are not published yet"),
            }
            if self.stop.is_cancelled() {
                return false;
            }
            std::thread::sleep(backoff.next_wait());
        }
    }

    async fn publish(&self, emitted: &[Emitted]) -> Result<(), runtime::KafkaError> {
        let Topics { credits, events, .. } = &self.settings.topics;
        let send = |emitted: &Emitted| match emitted {
            Emitted::Credit(credit) => {
                metrics::counter!("tributary_attribution_credits_total").increment(1);
                let command = Command::Credit(credit.clone());
                let payload = serde_json::to_vec(&command).expect("commands are JSON");
                self.publisher.send(credits, command.key().to_string().as_bytes(), &payload)
            }
            Emitted::Event(event) => {
                metrics::counter!("tributary_attribution_handed_on_total").increment(1);
                let payload = serde_json::to_vec(event).expect("events are JSON");
                self.publisher.send(events, event.visitor.to_string().as_bytes(), &payload)
            }
        };
        let pending = emitted.iter().map(send).collect::<Result<Vec<Pending<'_>>, _>>()?;
        for pending in pending {
            pending.acknowledged().await?;
        }
        Ok(())
    }

    /// Tells partitions that hold events whose time has come what time it is.
    fn tell_the_time(&self) {
        let now_ms = now_ms();
        for (partition, open) in self.partitions.lock().iter_mut() {
            let told_lately = now_ms.saturating_sub(open.told_ms) < TICK_AGAIN_MS;
            let is_on_its_way = told_lately && open.fold.clock_ms() < open.told_ms;
            if is_on_its_way || !open.fold.is_due(now_ms, &self.settings.policy) {
                continue;
            }
            let payload = serde_json::to_vec(&Event::tick(now_ms)).expect("events are JSON");
            match self.publisher.send_to(&self.settings.topics.events, *partition, &payload) {
                // Nobody waits for it: if it is lost, another follows.
                Ok(_pending) => open.told_ms = now_ms,
                Err(error) => tracing::warn!(partition, %error, "cannot tell the time"),
            }
        }
    }
}
