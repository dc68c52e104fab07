//! `events` → decisions on `credits`.
//!
//! Poll, apply, emit, commit: the fold is `domain::attribution::apply`; this
//! loads the state it asks for, publishes the credits it gives, and only then
//! commits state and offset together. After a crash in between, the same
//! credits are emitted again under the same ids, and settlement knows them.

mod state;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::attribution::apply;
use domain::command::Command;
use domain::dedupe::Arrival;
use domain::event::Event;
use domain::rules::Rules;
use runtime::consumer::{Batch, BatchLimits, Consumer, PartitionOwner};
use runtime::producer::{Pending, Publisher};
use runtime::retry::Backoff;
use runtime::shutdown::CancellationToken;
use runtime::topics::Topics;
use store::Pool;
use tokio::runtime::Handle;

use self::state::{Changes, PartitionState, StateStore};
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
}

/// The partitions this process has, with their state.
struct Partitions {
    store: StateStore,
    topic: String,
    open: Mutex<HashMap<i32, PartitionState>>,
    failure: Mutex<Option<ProcessorError>>,
}

impl PartitionOwner for Partitions {
    fn assigned(&self, partition: i32) -> i64 {
        match self.store.partition(&self.topic, partition) {
            Ok(state) => {
                let next_offset = state.next_offset;
                self.open.lock().expect("no panic while held").insert(partition, state);
                next_offset
            }
            Err(error) => {
                // The loop sees it before it works on anything.
                *self.failure.lock().expect("no panic while held") = Some(error);
                0
            }
        }
    }

    fn revoked(&self, partition: i32) {
        self.open.lock().expect("no panic while held").remove(&partition);
    }
}

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
    let partitions = Arc::new(Partitions {
        store: StateStore::open(&settings.state_dir)?,
        topic: settings.topics.events.clone(),
        open: Mutex::default(),
        failure: Mutex::default(),
    });
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
        while !self.stop.is_cancelled() {
            let batches = consumer.poll(Duration::from_millis(200), self.settings.batch)?;
            if let Some(error) = self.partitions.failure.lock().expect("no panic while held").take() {
                return Err(error);
            }
            for batch in batches {
                self.process(&batch)?;
            }
        }
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
        let open = Arc::clone(&self.partitions);
        let mut open = open.open.lock().expect("no panic while held");
        let Some(state) = open.get_mut(&batch.partition) else { return Ok(()) };
        let mut changes = Changes::default();
        let mut credits = Vec::new();
        for event in &events {
            let remembered = state.seen(event.id, &changes)?;
            let visitor = state.visitor(event.visitor, &changes)?;
            let step = apply(event, remembered.as_deref(), &visitor, &self.rules);
            if step.arrival == Arrival::First {
                changes.set_seen(event.id, event.payload_hash.clone());
            }
            if let Some(visitor) = step.visitor {
                changes.set_visitor(event.visitor, visitor);
            }
            credits.extend(step.credit.map(Command::Credit));
        }
        if !self.emit(&credits) {
            // Stopping: the state stays where it was, and so does the offset.
            return Ok(());
        }
        state.commit(changes, batch.last_offset + 1)?;
        metrics::counter!("tributary_attribution_events_total").increment(events.len() as u64);
        metrics::counter!("tributary_attribution_credits_total").increment(credits.len() as u64);
        Ok(())
    }

    /// Waits until the rules are known for all `events`; `false` when told to
    /// stop before.
    fn cover(&mut self, events: &[Event]) -> bool {
        let Some(latest_ms) = events.iter().map(|event| event.at_ms).max() else { return true };
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

    /// Publishes `credits`, again and again until all are acknowledged;
    /// `false` when told to stop before.
    fn emit(&self, credits: &[Command]) -> bool {
        let mut backoff = Backoff::default();
        loop {
            match self.handle.block_on(self.publish(credits)) {
                Ok(()) => return true,
                Err(error) => tracing::warn!(%error, "credits are not published yet"),
            }
            if self.stop.is_cancelled() {
                return false;
            }
            std::thread::sleep(backoff.next_wait());
        }
    }

    async fn publish(&self, credits: &[Command]) -> Result<(), runtime::KafkaError> {
        let topic = &self.settings.topics.credits;
        let pending = credits
            .iter()
            .map(|command| {
                let payload = serde_json::to_vec(command).expect("commands are JSON");
                self.publisher.send(topic, command.key().to_string().as_bytes(), &payload)
            })
            .collect::<Result<Vec<Pending>, _>>()?;
        for pending in pending {
            pending.acknowledged().await?;
        }
        Ok(())
    }
}
