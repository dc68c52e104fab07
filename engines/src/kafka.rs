//! The Kafka child: a Tansu broker with SQLite storage.
//!
//! Tansu takes its SQLite path relative to the working directory, hence a
//! process of its own that starts in the data directory.

use std::path::PathBuf;

use tansu_broker::broker::Broker;
use tansu_broker::coordinator::group::administrator::Controller;
use tansu_storage::StorageContainer;
use tokio::time::Instant;
use url::Url;
use uuid::Uuid;

/// Where the broker keeps its topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Storage {
    /// `broker.db` in this directory. Survives a killed process; a write is
    /// not fsynced one by one, so a power cut may lose the last moments.
    Sqlite(PathBuf),
    /// Nothing survives the process. For benchmarks only.
    Memory,
}

/// What went wrong in the Kafka child.
#[derive(Debug, thiserror::Error)]
pub enum KafkaError {
    /// The data directory cannot be made or entered.
    #[error("Kafka data directory {path}: {source}")]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The broker failed.
    #[error("embedded Kafka broker: {0}")]
    Broker(#[from] Box<tansu_broker::Error>),
    /// A URL for the broker could not be made.
    #[error("embedded Kafka broker address: {0}")]
    Url(#[from] url::ParseError),
}

/// Serves the Kafka protocol on 127.0.0.1:`port` until SIGTERM, SIGINT or the
/// end of the parent process.
///
/// # Errors
/// When the data directory cannot be used or the broker cannot start.
pub async fn run(storage: &Storage, port: u16) -> Result<(), KafkaError> {
    let storage_url = match storage {
        Storage::Sqlite(path) => {
            let data_dir = |source| KafkaError::DataDir { path: path.clone(), source };
            std::fs::create_dir_all(path).map_err(data_dir)?;
            std::env::set_current_dir(path).map_err(data_dir)?;
            Url::parse("sqlite://broker.db")?
        }
        Storage::Memory => Url::parse("memory://tributary/")?,
    };
    let address = Url::parse(&format!("tcp://127.0.0.1:{port}"))?;
    crate::parent::on_parent_exit(|| {
        // The broker's own way to stop is SIGTERM; raising it here gives a
        // vanished parent the same clean stop.
        if let Err(error) = nix::sys::signal::raise(nix::sys::signal::Signal::SIGTERM) {
            tracing::error!(%error, "cannot raise SIGTERM");
            std::process::exit(1);
        }
    });
    let broker = Broker::<Controller<StorageContainer>, StorageContainer>::builder()
        .node_id(1)
        .cluster_id("tributary")
        .incarnation_id(Uuid::now_v7())
        .listener(address.clone())
        .advertised_listener(address)
        .storage(storage_url)
        .silent(true)
        .build()
        .await
        .map_err(Box::new)?;
    broker.main(Instant::now()).await.map_err(Box::new)?;
    Ok(())
}
