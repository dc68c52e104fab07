//! The two processors. Each polls its topic on a thread of its own, hands the
//! messages to pure rules in `domain`, and writes down what comes back.
//!
//! | module | job |
//! |---|---|
//! | [`attribution`] | `events` → decisions on `credits`, with local state |
//! | [`settlement`] | `credits` → outcomes, budgets and ledger in Postgres |
//! | [`reconcile`] | checks the books |
//! | `dead_letter` | keeps what could not be read |

pub mod attribution;
mod dead_letter;
pub mod reconcile;
pub mod settlement;

/// What stops a processor.
#[derive(Debug, thiserror::Error)]
pub enum ProcessorError {
    /// Kafka refuses for good.
    #[error(transparent)]
    Kafka(#[from] runtime::KafkaError),
    /// Postgres refuses for good.
    #[error(transparent)]
    Store(#[from] store::StoreError),
    /// The local state cannot be used.
    #[error("attribution state in {path}: {message}")]
    State {
        /// Where it is.
        path: std::path::PathBuf,
        /// What is wrong.
        message: String,
    },
}
