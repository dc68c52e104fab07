//! `events` → decisions on `credits`.
//!
//! Poll, apply, emit, commit: the fold is [`domain::attribution::Partition`];
//! this reads the memory it asks for and publishes what it gives out. Every
//! second or so, when Kafka has all of that, changes, clock and position are
//! committed together, beside the work. After a crash before a commit has come
//! to its end, the same credits are emitted again under the same ids, and
//! settlement knows them. How far emission has surely come stands in Postgres
//! too: state that is built anew emits nothing before that.
//!
//! Where nothing comes in, the fold's clock stands still; so a partition that
//! holds events whose time has come is told the time, by a message on the topic
//! itself, and another reading of the log finds it there.

mod disk;
mod partitions;
pub mod state;
mod visitors;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use domain::attribution::{Emitted, Policy, Sparse};
use domain::command::Command;
use domain::event::Event;
use domain::rules::{Payees, Rules};
use runtime::clock::now_ms;
use runtime::consumer::{Batch, BatchLimits, Consumer, PartitionOwner};
use runtime::producer::{Pending, Publisher};
use runtime::retry::Backoff;
use runtime::shutdown::CancellationToken;
use runtime::topics::Topics;
use store::{Pool, StoreError};
use tokio::runtime::Handle;

use self::partitions::Partitions;
use crate::ProcessorError;
use crate::dead_letter::DeadLetter;
use crate::reading::{Read, Reading};

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
    /// What the state's caches take; see [`state::StateStore::open`].
    pub memory_bytes: usize,
    /// Messages in one batch.
    pub batch: BatchLimits,
    /// The fold's bounds.
    pub policy: Policy,
}

/// Reading is ahead of the work by so many batches at most: enough to go on
/// while the work writes to disk.
const BATCHES_AHEAD: usize = 8;

/// A start waits at most this long for Kafka, and then goes on without it.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);

/// Applies, emits and commits.
struct Work<'a> {
    settings: &'a AttributionSettings,
    pool: Pool,
    publisher: Publisher,
    partitions: Arc<Partitions>,
    rules: Rules,
    handle: Handle,
    stop: CancellationToken,
    /// What Kafka has not acknowledged yet, in order,
    outgoing: Vec<Outgoing<'a>>,
    /// and as many of its first ones as Kafka's client has.
    in_flight: Vec<Pending<'a>>,
}

/// A message that came out.
struct Outgoing<'a> {
    topic: &'a str,
    key: String,
    payload: Vec<u8>,
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
    let written = [&settings.topics.credits, &settings.topics.events];
    if !written.into_iter().all(|topic| publisher.connect(topic, CONNECT_WITHIN)) {
        tracing::warn!("Kafka does not answer yet");
    }
    let partitions = Partitions::open(&settings, pool.clone(), handle.clone(), stop.clone())?;
    let partitions = Arc::new(partitions);
    let owner = Arc::clone(&partitions) as Arc<dyn PartitionOwner>;
    let consumer = Consumer::new(&settings.brokers, &settings.group, &settings.topics.events, owner)?;
    let reading = Reading {
        topic: settings.topics.events.clone(),
        dead_letter: DeadLetter { publisher: publisher.clone(), topic: settings.topics.dead_letter.clone() },
        limits: settings.batch,
        batches_ahead: BATCHES_AHEAD,
        handle: handle.clone(),
        stop: stop.clone(),
    };
    let are_open = Arc::clone(&partitions);
    let mut work = Work {
        settings: &settings,
        pool,
        publisher,
        partitions,
        rules: Rules::default(),
        handle,
        stop,
        outgoing: Vec::new(),
        in_flight: Vec::new(),
    };
    reading.run(&consumer, "attribution", || are_open.check(), move |receiver| work.run(receiver))
}

impl<'a> Work<'a> {
    fn run(&mut self, receiver: &Receiver<Read<Box<Sparse>>>) -> Result<(), ProcessorError> {
        // Half a hold is soon enough to notice that nothing comes in.
        let patience = Duration::from_millis(self.settings.policy.hold_ms.clamp(20, 400).unsigned_abs() / 2);
        loop {
            let is_idle = match receiver.recv_timeout(patience) {
                Ok(read) => {
                    if !self.process(read)? {
                        return Ok(());
                    }
                    false
                }
                Err(RecvTimeoutError::Timeout) => true,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            if !self.commit(is_idle)? {
                return Ok(());
            }
            self.tell_the_time(patience);
            self.partitions.record(false);
        }
        if self.commit(true)? {
            self.partitions.finish()?;
            self.partitions.record(true);
        }
        tracing::info!("attribution stopped");
        Ok(())
    }

    /// Begins to commit what it is time for, or all, if `now`; nothing before
    /// Kafka has all that was emitted. `false` when told to stop before.
    fn commit(&mut self, now: bool) -> Result<bool, ProcessorError> {
        self.partitions.settle()?;
        if !self.partitions.is_time_to_commit(now) {
            return Ok(true);
        }
        if !self.await_acknowledgement() {
            // Nothing of this may reach the disk or count as done. It is read
            // again after the next start.
            self.partitions.close()?;
            return Ok(false);
        }
        self.partitions.commit()?;
        Ok(true)
    }

    /// Applies a batch and emits what comes of it; `false` when told to stop
    /// before.
    fn process(&mut self, read: Read<Box<Sparse>>) -> Result<bool, ProcessorError> {
        let Read { batch: Batch { partition, first_offset, last_offset, .. }, messages: events } = read;
        let is_covered = self.cover(&events);
        let count = events.len() as u64;
        if !is_covered {
            self.partitions.close()?;
            return Ok(false);
        }
        let partitions = Arc::clone(&self.partitions);
        let mut all = partitions.lock();
        let Some(open) = all.get_mut(&partition) else { return Ok(true) };
        let emitted =
            open.apply(events, first_offset, last_offset + 1, &self.rules, &self.settings.policy)?;
        drop(all);
        metrics::counter!("tributary_attribution_events_total").increment(count);
        let topics = &self.settings.topics;
        self.outgoing.extend(emitted.into_iter().map(|emitted| outgoing(emitted, topics)));
        self.send();
        Ok(true)
    }

    /// The rules of this moment; the creators of it only if `events` pay one who
    /// was not known.
    async fn read_rules(&self, events: &[(i64, Box<Sparse>)]) -> Result<Rules, StoreError> {
        let rules = store::campaigns::load_rules(&self.pool).await?;
        let payees = self.rules.payees();
        if events.iter().all(|(_, event)| payees.has(event.names())) {
            return Ok(rules.with_payees(payees.clone()));
        }
        let creators = store::payments::payees(&self.pool).await?;
        let read_at_ms = rules.read_at_ms();
        Ok(rules.with_payees(Payees::new(creators, read_at_ms)))
    }

    /// Waits until the rules are known for all `events`; `false` when told to
    /// stop before.
    fn cover(&mut self, events: &[(i64, Box<Sparse>)]) -> bool {
        let mut backoff = Backoff::default();
        for attempt in 0_u32.. {
            if events.iter().all(|(_, event)| self.rules.cover(event.at_ms, event.names())) {
                return true;
            }
            if attempt > 0 {
                std::thread::sleep(backoff.next_wait());
            }
            match self.handle.block_on(self.read_rules(events)) {
                Ok(rules) => self.rules = rules,
                Err(error) => tracing::warn!(%error, "cannot read the campaigns' terms"),
            }
            if self.stop.is_cancelled() {
                return false;
            }
        }
        false
    }

    /// Hands what came out to Kafka's client, as far as it takes it now;
    /// [`Self::await_acknowledgement`] goes on.
    fn send(&mut self) {
        while let Some(Outgoing { topic, key, payload }) = self.outgoing.get(self.in_flight.len()) {
            match self.publisher.send(topic, key.as_bytes(), payload) {
                Ok(pending) => self.in_flight.push(pending),
                Err(error) => {
                    tracing::debug!(%error, "the rest is not sent yet");
                    break;
                }
            }
        }
    }

    /// Waits until Kafka has all that came out, and sends again what it does
    /// not take; `false` when told to stop before.
    fn await_acknowledgement(&mut self) -> bool {
        let mut backoff = Backoff::default();
        while !self.outgoing.is_empty() {
            self.send();
            let unsent = self.outgoing.split_off(self.in_flight.len());
            let sent = std::mem::replace(&mut self.outgoing, unsent);
            let mut refused = Vec::new();
            // What the client had no room for can go on at once, if it had room
            // for anything.
            let mut failure = sent.is_empty().then(|| "the client takes nothing".to_owned());
            for (message, pending) in sent.into_iter().zip(std::mem::take(&mut self.in_flight)) {
                if let Err(error) = self.handle.block_on(pending.acknowledged()) {
                    failure = Some(error.to_string());
                    refused.push(message);
                }
            }
            self.outgoing.splice(..0, refused);
            if let Some(error) = failure {
                tracing::warn!(error, "credits are not published yet");
                if self.stop.is_cancelled() {
                    return false;
                }
                std::thread::sleep(backoff.next_wait());
            }
        }
        true
    }

    /// Tells partitions that are quiet, and hold events whose time has come,
    /// what time it is.
    fn tell_the_time(&self, quiet: Duration) {
        let now_ms = now_ms();
        for (partition, open) in self.partitions.lock().iter_mut() {
            if !open.tell(now_ms, quiet, &self.settings.policy) {
                continue;
            }
            let payload = serde_json::to_vec(&Event::tick(now_ms)).expect("events are JSON");
            // Nobody waits for it: if it is lost, another follows.
            if let Err(error) = self.publisher.send_to(&self.settings.topics.events, *partition, &payload) {
                tracing::warn!(partition, %error, "cannot tell the time");
            }
        }
    }
}

/// Most credits are smaller, so that their room is asked for once.
const USUAL_COMMAND_BYTES: usize = 2_048;

/// What is emitted, as a message.
fn outgoing(emitted: Emitted, topics: &Topics) -> Outgoing<'_> {
    let to_settlement = |command: &Command| {
        let mut payload = Vec::with_capacity(USUAL_COMMAND_BYTES);
        serde_json::to_writer(&mut payload, command).expect("commands are JSON");
        Outgoing { topic: &topics.credits, key: command.key().to_string(), payload }
    };
    match emitted {
        Emitted::Credit(credit) => {
            metrics::counter!("tributary_attribution_credits_total").increment(1);
            to_settlement(&Command::Credit(credit))
        }
        Emitted::Refund(refund) => {
            metrics::counter!("tributary_attribution_refunds_total").increment(1);
            to_settlement(&Command::Refund(refund))
        }
        Emitted::Event(event) => {
            metrics::counter!("tributary_attribution_handed_on_total").increment(1);
            let payload = serde_json::to_vec(&event).expect("events are JSON");
            Outgoing { topic: &topics.events, key: event.visitor.to_string(), payload }
        }
    }
}
