//! Topic `events` → table `events`.
//!
//! The range about to be inserted is written to Postgres first and closed
//! after the insert. A loader that finds an open range does not know whether
//! the insert happened; it reads exactly that range again and inserts it under
//! the same token, which the server drops if it already has it.
//!
//! One thread polls and makes rows of messages, another inserts what was read
//! before.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use clickhouse::Client;
use domain::event::Event;
use runtime::clock::now_ms;
use runtime::consumer::{Batch, BatchLimits, Consumer, Message, PartitionOwner};
use runtime::retry::Backoff;
use runtime::shutdown::CancellationToken;
use store::Pool;
use store::sinks::{Position, SinkPartition};
use tokio::runtime::Handle;

use crate::erasure::Erasure;
use crate::loading::Rows;
use crate::refused::insert_events;
use crate::rows::EventRow;
use crate::{SinkError, token};

const SINK: &str = "events";

/// How the loader runs.
#[derive(Clone, Debug)]
pub struct EventSinkSettings {
    /// Kafka's bootstrap servers.
    pub brokers: String,
    /// The consumer group; its members share the partitions.
    pub group: String,
    /// The topic.
    pub topic: String,
    /// Rows in one insert, at most.
    pub max_rows: usize,
    /// A row waits at most this long for others.
    pub max_age: Duration,
}

/// What is to be inserted next, given where the sink stands and what it has
/// read: the last offset of the range, or nothing yet.
fn next_range(
    position: Position,
    read_up_to: Option<i64>,
    rows: usize,
    age: Duration,
    settings: &EventSinkSettings,
) -> Option<i64> {
    let read_up_to = read_up_to?;
    match position.open_last_offset {
        // Exactly the open range, neither more nor less.
        Some(last) => (read_up_to >= last).then_some(last),
        None if rows >= settings.max_rows || age >= settings.max_age => Some(read_up_to),
        None => None,
    }
}

/// Reading rests when there was no room for so long.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is looked whether there is room.
const ROOM_EVERY: Duration = Duration::from_millis(5);
/// So many batches may be read ahead of what is inserted.
const BATCHES_AHEAD: usize = 4;

/// A batch that was read.
struct Read {
    /// Where it comes from; its messages are rows now.
    batch: Batch,
    /// They; without those that are no rows.
    rows: Rows,
}

/// Rows of one partition that are to be inserted now.
struct Due {
    turn: u64,
    first: i64,
    last: i64,
    rows: Rows,
}

/// Rows of one partition that are not inserted yet.
struct Loader {
    /// Another each time that the partition comes.
    turn: u64,
    position: Position,
    waiting: Rows,
    read_up_to: Option<i64>,
    since: Instant,
}

impl Loader {
    /// The offset that must be read next.
    fn next_offset(&self) -> i64 {
        self.read_up_to.map_or(self.position.next_offset, |read| read + 1)
    }
}

/// Positions, from Postgres.
struct Positions {
    pool: Pool,
    topic: String,
    handle: Handle,
    stop: CancellationToken,
    loaders: Mutex<BTreeMap<i32, Loader>>,
    turns: AtomicU64,
}

impl Positions {
    fn at(&self, partition: i32) -> SinkPartition {
        SinkPartition { sink: SINK, topic: self.topic.clone(), partition }
    }

    /// Begins a partition where Postgres says; waits for it, unless told to
    /// stop.
    fn begin(&self, partition: i32) -> i64 {
        let mut backoff = Backoff::default();
        let position = loop {
            match self.handle.block_on(store::sinks::position(&self.pool, &self.at(partition))) {
                Ok(position) => break position,
                Err(error) => tracing::warn!(partition, %error, "cannot read where the sink stands"),
            }
            if self.stop.is_cancelled() {
                return 0;
            }
            std::thread::sleep(backoff.next_wait());
        };
        let turn = self.turns.fetch_add(1, Ordering::Relaxed);
        let loader =
            Loader { turn, position, waiting: Rows::default(), read_up_to: None, since: Instant::now() };
        self.loaders.lock().expect("no panic while held").insert(partition, loader);
        position.next_offset
    }
}

impl PartitionOwner for Positions {
    fn assigned(&self, partition: i32) -> i64 {
        self.begin(partition)
    }

    fn revoked(&self, partition: i32) {
        self.loaders.lock().expect("no panic while held").remove(&partition);
    }
}

struct EventSink {
    settings: EventSinkSettings,
    client: Client,
    pool: Pool,
    positions: Arc<Positions>,
    handle: Handle,
    stop: CancellationToken,
}

/// Runs until `stop` is cancelled. Blocks; call it on a thread that may.
/// `handle` is the runtime that the connections live on.
///
/// # Errors
/// When Kafka refuses for good. Passing troubles are waited out.
pub fn run(
    settings: EventSinkSettings,
    client: Client,
    pool: Pool,
    handle: Handle,
    stop: CancellationToken,
) -> Result<(), SinkError> {
    let positions = Arc::new(Positions {
        pool: pool.clone(),
        topic: settings.topic.clone(),
        handle: handle.clone(),
        stop: stop.clone(),
        loaders: Mutex::default(),
        turns: AtomicU64::default(),
    });
    let owner = Arc::clone(&positions) as Arc<dyn PartitionOwner>;
    let consumer = Consumer::new(&settings.brokers, &settings.group, &settings.topic, owner)?;
    let sink = EventSink { settings, client, pool, positions, handle, stop };
    sink.run(&consumer)
}

impl EventSink {
    fn run(&self, consumer: &Consumer) -> Result<(), SinkError> {
        let (sender, receiver) = sync_channel(BATCHES_AHEAD);
        let result = std::thread::scope(|scope| {
            let loading = std::thread::Builder::new()
                .name("event-sink".to_owned())
                .spawn_scoped(scope, move || self.load_all(consumer, &receiver));
            let loading = loading.expect("a thread can be started");
            let read = self.read_all(consumer, &sender);
            drop(sender);
            loading.join().expect("no panic");
            read
        });
        tracing::info!("event sink stopped");
        result
    }

    /// Polls until told to stop.
    fn read_all(&self, consumer: &Consumer, sender: &SyncSender<Read>) -> Result<(), SinkError> {
        let limits =
            BatchLimits { max_messages: self.settings.max_rows, max_wait: self.settings.max_age / 4 };
        while !self.stop.is_cancelled() {
            for mut batch in consumer.poll(self.settings.max_age / 4, limits)? {
                let rows = rows(batch.partition, std::mem::take(&mut batch.messages));
                if !self.hand_over(consumer, sender, Read { batch, rows }) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Hands over what was read once there is room; `false` when told to stop. Who does
    /// not poll for long is taken for dead by the group, so that a ClickHouse that is away
    /// would have partitions going round: the consumer rests meanwhile.
    fn hand_over(&self, consumer: &Consumer, sender: &SyncSender<Read>, read: Read) -> bool {
        let (mut read, since, mut rests) = (read, Instant::now(), false);
        let handed_over = loop {
            match sender.try_send(read) {
                Ok(()) => break true,
                Err(TrySendError::Full(_)) if self.stop.is_cancelled() => break false,
                Err(TrySendError::Full(back)) => read = back,
                Err(TrySendError::Disconnected(_)) => break false,
            }
            if !rests && since.elapsed() > PATIENCE {
                tracing::warn!("ClickHouse takes nothing; reading rests until it does");
                consumer.pause();
                rests = true;
            }
            if rests {
                consumer.rest(ROOM_EVERY);
            } else {
                std::thread::sleep(ROOM_EVERY);
            }
        };
        if rests {
            tracing::info!("reading goes on");
            consumer.resume();
        }
        handed_over
    }

    /// Inserts what was read, until nothing more is.
    fn load_all(&self, consumer: &Consumer, receiver: &Receiver<Read>) {
        loop {
            let read = match receiver.recv_timeout(self.settings.max_age / 4) {
                Ok(read) => Some(read),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let mut loaders = self.positions.loaders.lock().expect("no panic while held");
            for read in read.into_iter().chain(receiver.try_iter()) {
                take(consumer, &mut loaders, read);
            }
            let partitions: Vec<i32> = loaders.keys().copied().collect();
            drop(loaders);
            let fenced: Vec<i32> =
                partitions.into_iter().filter(|partition| !self.load(*partition)).collect();
            for partition in fenced {
                tracing::warn!(partition, "another loader has moved on; following");
                let next = self.positions.begin(partition);
                consumer.seek(partition, next);
            }
        }
    }

    /// Inserts what is due of a partition; `false` if another loader is at it. While it
    /// inserts, the partition may go, and come again: what was begun then goes on as if
    /// it were another loader's.
    fn load(&self, partition: i32) -> bool {
        while let Some(due) = self.due(partition) {
            match self.insert_range(partition, due.first, due.last, &due.rows) {
                Some(true) => {
                    let mut loaders = self.positions.loaders.lock().expect("no panic while held");
                    if let Some(loader) = loaders.get_mut(&partition).filter(|loader| loader.turn == due.turn)
                    {
                        loader.position = Position { next_offset: due.last + 1, open_last_offset: None };
                        loader.since = Instant::now();
                    }
                }
                Some(false) => return false,
                // Stopping in the middle: the range stays open for the next start.
                None => return true,
            }
        }
        true
    }

    /// Takes what is to be inserted next of a partition, if anything is.
    fn due(&self, partition: i32) -> Option<Due> {
        let mut loaders = self.positions.loaders.lock().expect("no panic while held");
        let loader = loaders.get_mut(&partition)?;
        let first = loader.position.next_offset;
        let last = next_range(
            loader.position,
            loader.read_up_to.filter(|read| *read >= first),
            loader.waiting.facts().len(),
            loader.since.elapsed(),
            &self.settings,
        )?;
        let rows = loader.waiting.take_up_to(last);
        Some(Due { turn: loader.turn, first, last, rows })
    }

    /// Opens, inserts and closes a range, trying until it is done; `None` when
    /// told to stop before, `Some(false)` if another loader is at it.
    fn insert_range(&self, partition: i32, first: i64, last: i64, rows: &Rows) -> Option<bool> {
        let mut backoff = Backoff::default();
        let started = Instant::now();
        while !self.stop.is_cancelled() {
            match self.handle.block_on(self.try_range(partition, first, last, rows)) {
                Ok(()) => {
                    metrics::counter!("tributary_sink_rows_total", "table" => "events")
                        .increment(rows.facts().len() as u64);
                    metrics::histogram!("tributary_sink_insert_seconds", "table" => "events")
                        .record(started.elapsed().as_secs_f64());
                    record_visible(rows);
                    return Some(true);
                }
                Err(SinkError::Fenced(_)) => return Some(false),
                Err(error) => {
                    tracing::warn!(partition, first, last, %error, "range not loaded; trying again")
                }
            }
            std::thread::sleep(backoff.next_wait());
        }
        None
    }

    async fn try_range(&self, partition: i32, first: i64, last: i64, rows: &Rows) -> Result<(), SinkError> {
        let at = self.positions.at(partition);
        let fenced = || SinkError::Fenced(format!("{}/{partition}", at.topic));
        let mut changed = rows.hours();
        if !store::sinks::open(&self.pool, &at, first, last, &changed).await? {
            return Err(fenced());
        }
        if rows.block().rows() > 0 {
            insert_events(&self.client, &at.topic, &token(&at, first, last), rows.block()).await?;
        }
        // After the insert: what is to be forgotten may be in this very range.
        if let Some(erasure) = Erasure::asked_in(rows) {
            changed.extend(erasure.carry_out(&self.client, &self.pool).await?);
        }
        if !store::sinks::close(&self.pool, &at, first, last, &changed).await? {
            return Err(fenced());
        }
        Ok(())
    }
}

/// How long the newest and the oldest of these took from the collector until reports saw
/// them.
fn record_visible(rows: &Rows) {
    let taken = rows.facts().iter().map(|fact| fact.received_at_ms);
    for received_ms in [taken.clone().min(), taken.max()].into_iter().flatten() {
        let visible_ms = (now_ms() - received_ms).max(0);
        metrics::histogram!("tributary_sink_visible_seconds", "table" => "events")
            .record(visible_ms as f64 / 1_000.0);
    }
}

/// What messages are in the table.
fn rows(partition: i32, messages: Vec<Message>) -> Rows {
    let mut rows = Rows::default();
    for message in messages {
        match read(&message.payload) {
            Ok(event) if event.body.is_internal() => {}
            Ok(event) => rows.push(message.offset, EventRow::new(event, partition, message.offset)),
            // Attribution reads the same message and keeps it on the
            // dead-letter topic.
            Err(error) => {
                tracing::warn!(partition, offset = message.offset, %error, "unreadable event not loaded");
                metrics::counter!("tributary_sink_unreadable_total").increment(1);
            }
        }
    }
    rows
}

/// An event, if attribution reads it too: what it never decides on is not shown.
fn read(payload: &[u8]) -> serde_json::Result<Event> {
    match serde_json::from_slice::<Event>(payload)? {
        event if event.lacks_hash() => Err(serde::de::Error::missing_field("payload_hash")),
        event => Ok(event),
    }
}

/// Adds what was read to what waits; what was read before the partition went, or
/// was sought, is read again.
fn take(consumer: &Consumer, loaders: &mut BTreeMap<i32, Loader>, Read { batch, rows }: Read) {
    if !consumer.is_current(&batch) {
        return;
    }
    let Some(loader) = loaders.get_mut(&batch.partition) else { return };
    // A partition may have come anew at this very moment: offsets tell for sure.
    let next = loader.next_offset();
    if batch.first_offset != next {
        tracing::warn!(partition = batch.partition, next, first = batch.first_offset, "reading again");
        consumer.seek(batch.partition, next);
        return;
    }
    if loader.waiting.facts().is_empty() {
        loader.since = Instant::now();
    }
    loader.read_up_to = Some(batch.last_offset);
    loader.waiting.append(rows);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_range_is_loaded_as_it_was() {
        let settings = EventSinkSettings {
            brokers: String::new(),
            group: String::new(),
            topic: String::new(),
            max_rows: 100,
            max_age: Duration::from_secs(1),
        };
        let (young, old) = (Duration::ZERO, Duration::from_secs(1));
        for (open, read_up_to, rows, age, expected) in [
            (None, None, 0, old, None),
            (None, Some(9), 10, young, None),
            (None, Some(9), 10, old, Some(9)),
            (None, Some(99), 100, young, Some(99)),
            (Some(50), Some(49), 50, old, None),
            (Some(50), Some(50), 51, young, Some(50)),
            (Some(50), Some(99), 100, old, Some(50)),
        ] {
            let position = Position { next_offset: 0, open_last_offset: open };
            assert_eq!(next_range(position, read_up_to, rows, age, &settings), expected);
        }
    }

    #[test]
    fn what_attribution_refuses_is_not_loaded() {
        let mut event = Event { body: domain::event::Body::Erase {}, ..Event::tick(7) };
        for (payload_hash, is_read) in [("", false), ("a hash", true)] {
            payload_hash.clone_into(&mut event.payload_hash);
            let payload = serde_json::to_vec(&event).unwrap();
            assert_eq!(read(&payload).is_ok(), is_read);
            assert_eq!(serde_json::from_slice::<domain::attribution::Sparse>(&payload).is_ok(), is_read);
        }
    }
}
