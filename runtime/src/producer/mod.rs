//! Publishing, with the answer only after the broker's acknowledgement.

mod delivery;
mod lane;
mod queue;

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError as ClientError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::types::RDKafkaErrorCode as Code;
use rdkafka::util::Timeout;

use self::delivery::{Deliveries, Delivery, Fate, Polling, Slot};
use self::lane::Lanes;
use crate::KafkaError;

/// How long a message waits for others to share its request, unless set, in
/// milliseconds.
pub const DEFAULT_LINGER_MS: u16 = 1;

/// How a producer gathers messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerSettings {
    /// How long a message waits for others to share its request, in whole
    /// milliseconds; they have half of that to come. While a request of its partition
    /// is on its way, it waits for that, too; so where there are many, they share
    /// requests however short this is. Without any, a part of those that go together may
    /// miss the request.
    pub linger: Duration,
    /// A message that is not acknowledged within this fails; with none, it is
    /// tried for ever.
    pub message_timeout: Option<Duration>,
    /// Who waits for a message that was sent [so](Publisher::send_timed) waits at
    /// most this long, or a little longer; the client goes on trying.
    pub late_after: Option<Duration>,
}

impl Default for ProducerSettings {
    fn default() -> Self {
        Self {
            linger: Duration::from_millis(DEFAULT_LINGER_MS.into()),
            message_timeout: Some(Duration::from_secs(10)),
            late_after: None,
        }
    }
}

/// Publishes to Kafka: idempotent, acknowledged by all replicas. Cheap to
/// clone.
#[derive(Clone)]
pub struct Publisher {
    producer: Arc<BaseProducer<Deliveries>>,
    lanes: Arc<Lanes>,
    late_after: Option<Duration>,
    _polling: Arc<Polling>,
}

type Record<'r> = BaseRecord<'r, [u8], [u8], Arc<Slot>>;

/// A message that has been handed to the client and not acknowledged yet.
pub struct Pending<'a> {
    topic: &'a str,
    delivery: Delivery,
}

impl<'a> Pending<'a> {
    fn of(topic: &'a str, sent: Result<Arc<Slot>, ClientError>) -> Result<Self, KafkaError> {
        match sent {
            Ok(slot) => Ok(Self { topic, delivery: Delivery(slot) }),
            Err(error) => Err(not_taken(topic, &error)),
        }
    }

    /// Waits for the acknowledgement.
    ///
    /// # Errors
    /// When the broker refuses the message or does not answer in time. It may
    /// still have been written, or still be.
    pub async fn acknowledged(self) -> Result<(), KafkaError> {
        match self.delivery.await {
            Fate::Taken => Ok(()),
            Fate::Failed(error) => Err(not_taken(self.topic, &error)),
            Fate::Late => {
                let (topic, message) = (self.topic.to_owned(), "it does not answer in time".to_owned());
                Err(KafkaError::Publish { topic, message })
            }
        }
    }
}

/// A record with the `traceparent` of what is behind it, if there is one.
fn traced<'r>(record: Record<'r>, trace: &'r [u8]) -> Record<'r> {
    if trace.is_empty() {
        return record;
    }
    let header = Header { key: "traceparent", value: Some(trace) };
    record.headers(OwnedHeaders::new_with_capacity(1).insert(header))
}

/// Whether another try may help.
fn not_taken(topic: &str, error: &ClientError) -> KafkaError {
    let (topic, message) = (topic.to_owned(), error.to_string());
    match error.rdkafka_error_code() {
        Some(
            Code::MessageSizeTooLarge
            | Code::InvalidMessageSize
            | Code::InvalidRecord
            | Code::PolicyViolation
            | Code::InvalidTimestamp,
        ) => KafkaError::Refused { topic, message },
        _ => KafkaError::Publish { topic, message },
    }
}

impl Publisher {
    /// A publisher to `brokers`.
    ///
    /// # Errors
    /// When the settings are not valid.
    pub fn new(brokers: &str, settings: ProducerSettings) -> Result<Self, KafkaError> {
        let client = |source| KafkaError::Client { brokers: brokers.to_owned(), source };
        let producer: BaseProducer<Deliveries> = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("linger.ms", settings.linger.as_millis().to_string())
            .set("message.timeout.ms", settings.message_timeout.map_or(0, |t| t.as_millis()).to_string())
            .set("compression.type", "lz4")
            .set("queue.buffering.max.messages", "200000")
            .create_with_context(Deliveries::default())
            .map_err(client)?;
        let producer = Arc::new(producer);
        // Nobody else has it yet.
        let _first = producer.context().0.set(Arc::downgrade(&producer));
        let (lanes, late_after) = (Arc::new(Lanes::new(settings.linger)), settings.late_after);
        let polling = Polling::start(Arc::clone(&producer), Arc::clone(&lanes), late_after);
        let polling = polling.map_err(|error| client(ClientError::ClientCreation(error.to_string())))?;
        Ok(Self { producer, lanes, late_after, _polling: Arc::new(polling) })
    }

    /// Hands a message to the client.
    ///
    /// # Errors
    /// When the client's queue is full or the message too large.
    pub fn send<'a>(&self, topic: &'a str, key: &[u8], payload: &[u8]) -> Result<Pending<'a>, KafkaError> {
        self.send_traced(topic, key, &[], payload)
    }

    /// As [`Publisher::send`], to a partition instead of by a key.
    ///
    /// # Errors
    /// As [`Publisher::send`].
    pub fn send_to<'a>(
        &self,
        topic: &'a str,
        partition: i32,
        payload: &[u8],
    ) -> Result<Pending<'a>, KafkaError> {
        let slot = Arc::new(Slot::default());
        let record: Record<'_> = BaseRecord::with_opaque_to(topic, Arc::clone(&slot));
        let sent = self.producer.send(record.partition(partition).payload(payload));
        Pending::of(topic, sent.map(|()| slot).map_err(|(error, _record)| error))
    }

    /// As [`Publisher::send`], with the W3C `traceparent` of the request behind
    /// it as a header; none where `trace` is empty.
    ///
    /// # Errors
    /// As [`Publisher::send`].
    pub fn send_traced<'a>(
        &self,
        topic: &'a str,
        key: &[u8],
        trace: &[u8],
        payload: &[u8],
    ) -> Result<Pending<'a>, KafkaError> {
        self.hand(topic, [key, trace, payload], None)
    }

    /// As [`Publisher::send_traced`]; what is not acknowledged within
    /// [`ProducerSettings::late_after`] is then an error for who waits for it, and
    /// still on its way.
    ///
    /// # Errors
    /// As [`Publisher::send`].
    pub fn send_timed<'a>(
        &self,
        topic: &'a str,
        key: &[u8],
        trace: &[u8],
        payload: &[u8],
    ) -> Result<Pending<'a>, KafkaError> {
        self.hand(topic, [key, trace, payload], self.late_after.map(|_| Instant::now()))
    }

    fn hand<'a>(
        &self,
        topic: &'a str,
        message: [&[u8]; 3],
        since: Option<Instant>,
    ) -> Result<Pending<'a>, KafkaError> {
        let [key, ..] = message;
        let sent = self.lanes.with(topic, key, |lane| lane.send(&self.producer, message, since));
        Pending::of(topic, sent)
    }

    /// Publishes one message and waits for its acknowledgement.
    ///
    /// # Errors
    /// As [`Publisher::send`] and [`Pending::acknowledged`].
    pub async fn publish(&self, topic: &str, key: &[u8], payload: &[u8]) -> Result<(), KafkaError> {
        self.send(topic, key, payload)?.acknowledged().await
    }

    /// Connects, so that the first message does not have to wait for it, and learns
    /// the topic's partitions; for at most `within`. Blocks. `false` if Kafka does
    /// not answer.
    #[must_use]
    pub fn connect(&self, topic: &str, within: Duration) -> bool {
        match self.producer.client().fetch_metadata(Some(topic), Timeout::After(within)) {
            Ok(metadata) => {
                let partitions = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
                self.lanes.learn(topic, partitions);
                true
            }
            Err(_unreached) => false,
        }
    }

    /// Messages that are not acknowledged yet.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        usize::try_from(self.producer.in_flight_count()).unwrap_or_default() + self.lanes.waiting()
    }

    /// Waits until nothing is in flight, or `within` is over. Blocks.
    pub fn flush(&self, within: Duration) {
        let until = Instant::now() + within;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if let Err(error) = self.producer.flush(Timeout::After(left)) {
                let in_flight = self.in_flight();
                tracing::warn!(%error, in_flight, "producer closed with messages in flight");
                return;
            }
            // What waited has been handed over since, and may be in flight.
            if self.in_flight() == 0 {
                return;
            }
        }
    }
}
