//! Parts of the pipeline inside the test's own process.

use std::sync::Arc;

use processors::settlement::SettlementSettings;
use runtime::KafkaError;
use runtime::consumer::{BatchLimits, Consumer, PartitionOwner};
use runtime::producer::{ProducerSettings, Publisher};
use runtime::shutdown::CancellationToken;
use runtime::topics::Topics;
use store::Pool;
use tokio::task::JoinHandle;

/// Reads each partition from its beginning.
struct FromStart;

impl PartitionOwner for FromStart {
    fn assigned(&self, _partition: i32) -> i64 {
        0
    }

    fn revoked(&self, _partition: i32) {}
}

/// A consumer of a whole topic, in a group of its own.
///
/// # Errors
/// When Kafka does not answer.
pub fn reader(brokers: &str, topic: &str) -> Result<Consumer, KafkaError> {
    Consumer::new(brokers, &format!("{topic}-reader"), topic, Arc::new(FromStart))
}

/// A settler that runs in this process.
pub struct Settler {
    stop: CancellationToken,
    running: JoinHandle<anyhow::Result<()>>,
}

impl Settler {
    /// Settles `topics` into `pool`, in a group of its own.
    ///
    /// # Errors
    /// When the settings are not valid.
    pub fn start(
        brokers: String,
        group: String,
        topics: Topics,
        pool: Pool,
        batch: BatchLimits,
    ) -> anyhow::Result<Self> {
        let publisher = Publisher::new(&brokers, ProducerSettings::default())?;
        let settings = SettlementSettings { brokers, group, topics, batch };
        let stop = CancellationToken::new();
        let (stopped, handle) = (stop.clone(), tokio::runtime::Handle::current());
        let running = tokio::task::spawn_blocking(move || {
            Ok(processors::settlement::run(settings, pool, publisher, handle, stopped)?)
        });
        Ok(Self { stop, running })
    }

    /// Whether it has ended by itself, which it should not.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.running.is_finished()
    }

    /// Stops it, and gives what it ended with.
    ///
    /// # Errors
    /// When settlement failed.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.running.await?
    }
}
