//! The processors. Two poll a topic on a thread of their own, hand the
//! messages to pure rules in `domain`, and write down what comes back; what
//! creators have earned is released by the clock.
//!
//! | module | job |
//! |---|---|
//! | [`attribution`] | `events` → decisions on `credits`, with local state |
//! | [`settlement`] | `credits` → outcomes, budgets and ledger in Postgres |
//! | [`wallets`] | ends the holds on creators' earnings |
//! | [`partitions`] | makes the ledger's months |
//! | [`reconcile`] | checks the books |
//! | `reading` | polls and parses ahead of the work |
//! | `dead_letter` | keeps what could not be read |

pub mod attribution;
mod dead_letter;
pub mod partitions;
mod reading;
pub mod reconcile;
pub mod settlement;
pub mod wallets;

/// What stops a processor.
#[derive(Debug, thiserror::Error)]
pub enum ProcessorError {
    /// Kafka refuses for good.
    #[error(transparent)]
    Kafka(#[from] runtime::KafkaError),
    /// Postgres refuses for good.
    #[error(transparent)]
    Store(#[from] store::StoreError),
    /// Postgres knows of more than Kafka has: this is not the Kafka of before.
    #[error(
        "attribution has worked on {topic}/{partition} up to offset {emitted_to}, but the topic ends at {end}; \
         give Kafka its data back, or work with another --topic-prefix"
    )]
    Position {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// How far attribution had come.
        emitted_to: i64,
        /// Where the log ends.
        end: i64,
    },
    /// The local state cannot be used.
    #[error("attribution state in {path}: {message}")]
    State {
        /// Where it is.
        path: std::path::PathBuf,
        /// What is wrong.
        message: String,
    },
}
