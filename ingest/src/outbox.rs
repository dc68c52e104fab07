//! Gets events to where they are durable: to Kafka, or, if Kafka does not
//! acknowledge in time, to the spool, which is emptied into Kafka later.
//!
//! While anything is in the spool, everything goes through it: an event must
//! not overtake an earlier one of the same visitor. An event that was spooled
//! because Kafka was slow may reach Kafka twice; it is the same event with the
//! same id, which everything downstream counts once.

use std::slice;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use metrics::Histogram;
use runtime::KafkaError;
use runtime::dead_letter::{Source, letter};
use runtime::producer::{Pending, Publisher};
use runtime::retry::Backoff;
use runtime::shutdown::CancellationToken;
use tokio::time::timeout_at;

use crate::spool::{Chunk, Record, Spool, SpoolError};

/// What is read from the spool and sent to Kafka at once.
const CHUNK_BYTES: u64 = 1 << 18;
/// A caller whose event Kafka refuses waits at most this long for the letter.
const BURY_WITHIN: Duration = Duration::from_secs(5);

/// Where events go, and how long Kafka is waited for.
#[derive(Clone, Debug)]
pub(crate) struct OutboxSettings {
    pub(crate) events_topic: String,
    pub(crate) dead_letter_topic: String,
}

/// Makes events durable.
pub(crate) struct Outbox {
    settings: OutboxSettings,
    publisher: Publisher,
    pub(crate) spool: Spool,
    /// Whether it has been said that events go to the spool.
    spooling: AtomicBool,
    /// How long it takes until events are in Kafka.
    in_kafka: Histogram,
    /// The same, of the spool.
    in_spool: Histogram,
}

/// Why an event is not durable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotRecorded {
    #[error("Kafka refuses the event: {0}")]
    Refused(String),
    #[error(transparent)]
    Spool(#[from] SpoolError),
}

/// Waits for Kafka to have what was sent.
async fn acknowledged(sent: Result<Pending<'_>, KafkaError>) -> Result<(), KafkaError> {
    sent?.acknowledged().await
}

impl Outbox {
    pub(crate) fn new(settings: OutboxSettings, publisher: Publisher, spool: Spool) -> Self {
        let taking = |place| metrics::histogram!("tributary_ingest_ack_seconds", "place" => place);
        let (in_kafka, in_spool) = (taking("kafka"), taking("spool"));
        Self { settings, publisher, spool, spooling: AtomicBool::new(false), in_kafka, in_spool }
    }

    /// Messages that Kafka has not acknowledged.
    pub(crate) fn in_flight(&self) -> usize {
        self.publisher.in_flight()
    }

    /// Makes one event durable.
    pub(crate) async fn record(&self, record: &Record) -> Result<(), NotRecorded> {
        let started = Instant::now();
        let mut error = None;
        if self.spool.is_empty() {
            match acknowledged(self.send_timed(record)).await {
                Ok(()) => {
                    self.in_kafka.record(started.elapsed().as_secs_f64());
                    return Ok(());
                }
                Err(not_taken) => error = Some(not_taken),
            }
        }
        // Aside, as all that is rare: who waits for Kafka keeps no room for it.
        Box::pin(async move {
            match error {
                Some(KafkaError::Refused { message, .. }) => {
                    self.quarantine(slice::from_ref(record), &message).await;
                    Err(NotRecorded::Refused(message))
                }
                _ => self.spool(slice::from_ref(record), started).await,
            }
        })
        .await
    }

    /// Makes events durable; one result for each, in their order.
    pub(crate) async fn record_all(&self, records: &[Record]) -> Vec<Result<(), NotRecorded>> {
        let started = Instant::now();
        let mut results = vec![Ok(()); records.len()];
        let mut late = Vec::new();
        if self.spool.is_empty() {
            let sent: Vec<_> = records.iter().map(|record| self.send_timed(record)).collect();
            for (index, sent) in sent.into_iter().enumerate() {
                match acknowledged(sent).await {
                    Ok(()) => {}
                    Err(KafkaError::Refused { message, .. }) => {
                        self.quarantine(&records[index..=index], &message).await;
                        results[index] = Err(NotRecorded::Refused(message));
                    }
                    Err(_) => late.push(index),
                }
            }
        } else {
            late.extend(0..records.len());
        }
        if late.is_empty() {
            self.in_kafka.record(started.elapsed().as_secs_f64());
            return results;
        }
        let to_spool: Vec<Record> = late.iter().map(|index| records[*index].clone()).collect();
        if let Err(error) = self.spool(&to_spool, started).await {
            for index in late {
                results[index] = Err(error.clone());
            }
        }
        results
    }

    /// Whoever waits for it is told when it is late.
    fn send_timed(&self, record: &Record) -> Result<Pending<'_>, KafkaError> {
        self.publisher.send_timed(&self.settings.events_topic, &record.key, &record.trace, &record.payload)
    }

    fn send(&self, record: &Record) -> Result<Pending<'_>, KafkaError> {
        self.publisher.send_traced(&self.settings.events_topic, &record.key, &record.trace, &record.payload)
    }

    /// Puts records into the spool.
    async fn spool(&self, records: &[Record], started: Instant) -> Result<(), NotRecorded> {
        self.spool.append(records).await?;
        if !self.spooling.swap(true, Ordering::Relaxed) {
            tracing::warn!("Kafka does not take events in time; they go to the spool");
        }
        metrics::counter!("tributary_ingest_spooled_total").increment(records.len() as u64);
        self.in_spool.record(started.elapsed().as_secs_f64());
        Ok(())
    }

    /// Keeps events that cannot be taken on the dead-letter topic, all at once;
    /// waits for it no longer than a caller would.
    pub(crate) async fn quarantine(&self, records: &[Record], reason: &str) {
        let buried = join_all(records.iter().map(|record| self.bury(record, reason)));
        if tokio::time::timeout(BURY_WITHIN, buried).await.is_err() {
            let events = records.len();
            tracing::error!(reason, events, "events that cannot be taken could not all be kept either");
        }
    }

    /// Keeps an event on the dead-letter topic, however long it takes.
    async fn bury(&self, record: &Record, reason: &str) {
        let source = Source { topic: &self.settings.events_topic, partition: None, offset: None };
        tracing::warn!(reason, bytes = record.payload.len(), "an event goes to the dead-letter topic");
        metrics::counter!("tributary_dead_letters_total", "topic" => self.settings.events_topic.clone())
            .increment(1);
        let letter = letter(&source, reason, &record.payload);
        let mut backoff = Backoff::default();
        loop {
            match self.publisher.publish(&self.settings.dead_letter_topic, &record.key, &letter).await {
                Ok(()) => return,
                Err(error @ KafkaError::Refused { .. }) => {
                    // Even its letter is refused; this machine keeps it.
                    let kept = self.spool.keep_refused(&letter);
                    tracing::error!(%error, ?kept, "the dead-letter topic refuses an event");
                    return;
                }
                Err(error) => tracing::warn!(%error, "cannot write to the dead-letter topic"),
            }
            tokio::time::sleep(backoff.next_wait()).await;
        }
    }

    /// Empties the spool into Kafka, in order, until told to stop.
    pub(crate) async fn drain(&self, stop: &CancellationToken) {
        let mut backoff = Backoff::default();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.spool.wait() => {}
            }
            match self.front().await {
                Ok(Some(chunk)) => {
                    tokio::select! {
                        () = stop.cancelled() => return,
                        sent = self.send_chunk(&chunk) => match sent {
                            Ok(()) => {
                                self.spool.drained(&chunk);
                                if self.spool.is_empty() && self.spooling.swap(false, Ordering::Relaxed) {
                                    tracing::info!("the spool is empty; events go to Kafka again");
                                }
                                backoff = Backoff::default();
                                continue;
                            }
                            Err(error) => tracing::warn!(%error, "the spool cannot be emptied; trying again"),
                        }
                    }
                }
                Ok(None) => continue,
                Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                    self.spool.set_aside();
                    continue;
                }
                Err(error) => tracing::error!(%error, "the spool cannot be read; trying again"),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(backoff.next_wait()) => {}
            }
        }
    }

    async fn front(&self) -> std::io::Result<Option<Chunk>> {
        let spool = self.spool.clone();
        let front = tokio::task::spawn_blocking(move || spool.front(CHUNK_BYTES));
        front.await.map_err(std::io::Error::other)?
    }

    /// Sends a chunk's events, and waits until Kafka has all of them.
    async fn send_chunk(&self, chunk: &Chunk) -> Result<(), KafkaError> {
        let mut pending = Vec::with_capacity(chunk.records.len());
        for record in &chunk.records {
            match self.send(record) {
                Ok(sent) => pending.push((record, sent)),
                Err(KafkaError::Refused { message, .. }) => self.bury(record, &message).await,
                Err(error) => return Err(error),
            }
        }
        for (record, sent) in pending {
            match sent.acknowledged().await {
                Ok(()) => {}
                Err(KafkaError::Refused { message, .. }) => self.bury(record, &message).await,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Waits, for at most `within`, until Kafka has what it was sent and what
    /// is in the spool. What is still in the spool then waits for the next
    /// start.
    pub(crate) async fn close(&self, within: Duration) {
        let until = tokio::time::Instant::now() + within;
        let enough = CancellationToken::new();
        let emptied = async {
            tokio::select! {
                () = self.drain(&enough) => {}
                () = async { while !self.spool.is_empty() { tokio::time::sleep(Duration::from_millis(20)).await; } } => {}
            }
        };
        if timeout_at(until, emptied).await.is_err() {
            let (events, bytes) = (self.spool.backlog(), self.spool.bytes());
            tracing::warn!(events, bytes, "events stay in the spool for the next start");
        }
        let (publisher, left) = (self.publisher.clone(), until.duration_since(tokio::time::Instant::now()));
        // Whatever is in flight has been spooled, or nobody was told that it
        // is recorded.
        if tokio::task::spawn_blocking(move || publisher.flush(left)).await.is_err() {
            tracing::error!("the producer could not be flushed");
        }
    }
}
