//! Publishing, with the answer only after the broker's acknowledgement.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer as _};
use rdkafka::util::Timeout;

use crate::KafkaError;

/// How a producer gathers messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerSettings {
    /// How long a message waits for others to share its request.
    pub linger: Duration,
    /// A message that is not acknowledged within this fails.
    pub message_timeout: Duration,
}

impl Default for ProducerSettings {
    fn default() -> Self {
        Self { linger: Duration::from_millis(1), message_timeout: Duration::from_secs(10) }
    }
}

/// Publishes to Kafka: idempotent, acknowledged by all replicas. Cheap to
/// clone.
#[derive(Clone)]
pub struct Publisher {
    producer: FutureProducer,
}

/// A message that has been handed to the client and not acknowledged yet.
pub struct Pending {
    topic: String,
    delivery: DeliveryFuture,
}

impl Pending {
    /// Waits for the acknowledgement.
    ///
    /// # Errors
    /// When the broker refuses the message or does not answer in time. It may
    /// still have been written.
    pub async fn acknowledged(self) -> Result<(), KafkaError> {
        let failed = |message: String| KafkaError::Publish { topic: self.topic, message };
        match self.delivery.await {
            Ok(Ok(_delivery)) => Ok(()),
            Ok(Err((error, _message))) => Err(failed(error.to_string())),
            Err(_cancelled) => Err(failed("the producer was closed".to_owned())),
        }
    }
}

impl Publisher {
    /// A publisher to `brokers`.
    ///
    /// # Errors
    /// When the settings are not valid.
    pub fn new(brokers: &str, settings: ProducerSettings) -> Result<Self, KafkaError> {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("linger.ms", settings.linger.as_millis().to_string())
            .set("message.timeout.ms", settings.message_timeout.as_millis().to_string())
            .set("compression.type", "lz4")
            .set("queue.buffering.max.messages", "200000")
            .create()
            .map_err(|source| KafkaError::Client { brokers: brokers.to_owned(), source })?;
        Ok(Self { producer })
    }

    /// Hands a message to the client.
    ///
    /// # Errors
    /// When the client's queue is full or the message too large.
    pub fn send(&self, topic: &str, key: &[u8], payload: &[u8]) -> Result<Pending, KafkaError> {
        let record = FutureRecord::to(topic).key(key).payload(payload);
        match self.producer.send_result(record) {
            Ok(delivery) => Ok(Pending { topic: topic.to_owned(), delivery }),
            Err((error, _record)) => {
                Err(KafkaError::Publish { topic: topic.to_owned(), message: error.to_string() })
            }
        }
    }

    /// Publishes one message and waits for its acknowledgement.
    ///
    /// # Errors
    /// As [`Publisher::send`] and [`Pending::acknowledged`].
    pub async fn publish(&self, topic: &str, key: &[u8], payload: &[u8]) -> Result<(), KafkaError> {
        self.send(topic, key, payload)?.acknowledged().await
    }

    /// Messages that are not acknowledged yet.
    #[must_use]
    pub fn in_flight(&self) -> i32 {
        self.producer.in_flight_count()
    }

    /// Waits until nothing is in flight, or `within` is over. Blocks.
    pub fn flush(&self, within: Duration) {
        if let Err(error) = self.producer.flush(Timeout::After(within)) {
            tracing::warn!(%error, in_flight = self.in_flight(), "producer closed with messages in flight");
        }
    }
}
