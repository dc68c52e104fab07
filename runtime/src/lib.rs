//! What every Tributary service needs to run, and no business rule: Kafka,
//! telemetry, shutdown, the clock, the allocator, what clusters want.

pub mod clock;
pub mod cluster;
pub mod consumer;
pub mod dead_letter;
pub mod memory;
pub mod producer;
pub mod progress;
pub mod random;
pub mod retry;
pub mod sealed;
pub mod shutdown;
pub mod telemetry;
pub mod topics;

/// What went wrong with Kafka.
#[derive(Debug, thiserror::Error)]
pub enum KafkaError {
    /// A client could not be made, or a call failed.
    #[error("Kafka at {brokers}: {source}")]
    Client {
        /// The bootstrap servers.
        brokers: String,
        /// What the client says.
        source: rdkafka::error::KafkaError,
    },
    /// A topic could not be made.
    #[error("Kafka topic {topic}: {message}")]
    Topic {
        /// The topic.
        topic: String,
        /// What is wrong.
        message: String,
    },
    /// A message will never be taken: too large, or not as the topic wants it.
    #[error("Kafka refuses a message for {topic}: {message}")]
    Refused {
        /// The topic.
        topic: String,
        /// Why.
        message: String,
    },
    /// A message was not taken.
    #[error("Kafka did not take a message for {topic}: {message}")]
    Publish {
        /// The topic.
        topic: String,
        /// Why.
        message: String,
    },
}
