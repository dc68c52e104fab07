//! The ClickHouse child: libchdb behind ClickHouse's HTTP interface.
//!
//! | file | job |
//! |---|---|
//! | `request` | what a request asks for |
//! | `statement` | where an INSERT's SQL ends and its rows begin |
//! | `body` | a request's body, out of whatever it is packed in |
//! | `compressed` | ClickHouse's compressed blocks |
//! | `library` | libchdb's C functions |
//! | `session` | runs a request on a connection of its own |
//! | `http` | routes, headers, exception codes |
//! | `readers` | users beside `default`, who only read |
//! | `user_statement` | the statements that make them |
//! | `reading` | what a reader's statement may not hold |
//!
//! Left out, because nothing here needs it: other users and grants than readers',
//! progress headers while a query runs, and streamed results (a result is built
//! in memory before it is sent).

mod body;
mod compressed;
mod http;
mod library;
mod readers;
mod reading;
mod request;
mod session;
mod statement;
mod user_statement;

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// An engine that is still at its end is waited for at most this long.
const LEFTOVER_WITHIN: Duration = Duration::from_secs(15);

/// How the child is to be run.
#[derive(Clone, Debug)]
pub struct ClickHouseConfig {
    /// The path of `libchdb.so`.
    pub library: PathBuf,
    /// All data.
    pub data_dir: PathBuf,
    /// Loopback port for everybody.
    pub port: u16,
    /// How names of databases begin that readers may be granted.
    pub readers_databases: String,
    /// Where readers, and only they, may ask, too.
    pub readers_listen: Option<SocketAddr>,
}

/// What went wrong in the ClickHouse child.
#[derive(Debug, thiserror::Error)]
pub enum ClickHouseError {
    /// libchdb is missing or not the library that is expected.
    #[error("cannot load libchdb from {path}: {source}; fetch it with `make engines`")]
    Library {
        /// Where it was looked for.
        path: PathBuf,
        /// Why it does not load.
        source: libloading::Error,
    },
    /// The data directory cannot be made.
    #[error("ClickHouse data directory {path}: {source}")]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The engine does not open the directory.
    #[error("embedded ClickHouse: {0}")]
    Engine(String),
    /// The port cannot be served.
    #[error("embedded ClickHouse on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}

/// Serves ClickHouse's HTTP interface until SIGTERM, SIGINT or the end of the
/// parent process.
///
/// # Errors
/// When the library, the directory or a port cannot be used.
pub async fn run(config: &ClickHouseConfig) -> Result<(), ClickHouseError> {
    let data_dir = &config.data_dir;
    let in_data_dir = |source| ClickHouseError::DataDir { path: data_dir.clone(), source };
    std::fs::create_dir_all(data_dir).map_err(in_data_dir)?;
    let access = data_dir.join("tributary");
    let file = readers::write_config(&access, &config.readers_databases).map_err(in_data_dir)?;
    let readers =
        readers::Readers::open(access.join("readers.sql"), &config.readers_databases).map_err(in_data_dir)?;
    let lock = alone(&access.join("lock"), &data_dir.join("status")).await.map_err(in_data_dir)?;
    // Until the process ends: queries that go on beyond this function keep the engine open.
    std::mem::forget(lock);
    let library = library::Library::load(&config.library)
        .map_err(|source| ClickHouseError::Library { path: config.library.clone(), source })?;
    let sessions = session::Sessions::open(library, data_dir, &file)
        .map_err(|error| ClickHouseError::Engine(error.0))?;
    let engine = Arc::new(http::Engine { sessions, readers });
    let bind = async |address| {
        let listen = |source| ClickHouseError::Listen { address, source };
        tokio::net::TcpListener::bind(address).await.map_err(listen)
    };
    let everybody = SocketAddr::from(([127, 0, 0, 1], config.port));
    let mut listeners = vec![(everybody, bind(everybody).await?, http::Audience::Everybody)];
    if let Some(address) = config.readers_listen {
        listeners.push((address, bind(address).await?, http::Audience::Readers));
    }
    let stop = tokio_util::sync::CancellationToken::new();
    let serving = listeners.into_iter().map(|(address, listener, audience)| {
        let (engine, stop) = (Arc::clone(&engine), stop.clone().cancelled_owned());
        async move {
            let served = http::serve(listener, engine, audience, stop).await;
            served.map_err(|source| ClickHouseError::Listen { address, source })
        }
    });
    let stopped = async {
        stop_signal().await;
        stop.cancel();
        Ok(())
    };
    tokio::try_join!(futures_util::future::try_join_all(serving), stopped)?;
    let ended = tokio::task::spawn_blocking(move || engine.sessions.shut_down()).await;
    ended.map_err(|error| ClickHouseError::Engine(error.to_string()))
}

/// Takes the lock of the directory, until the file is dropped. The engine of a
/// killed parent may still be closing its tables, long after its port is free; it
/// is waited for. After a while it goes on without the lock: who is there then is for
/// libchdb to tell.
///
/// An ending process frees its files in an order of its own. So the lock of libchdb's
/// own, on the file `status`, is waited for, too, and given back: libchdb takes it.
/// Ours is there before libchdb's is.
async fn alone(ours: &Path, status: &Path) -> std::io::Result<File> {
    let until = Instant::now() + LEFTOVER_WITHIN;
    let lock = File::create(ours)?;
    lock_until(&lock, until).await?;
    match File::open(status) {
        Ok(status) => lock_until(&status, until).await?,
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(lock)
}

/// Locks the file as soon as it is free, or gives up at the time.
async fn lock_until(file: &File, until: Instant) -> std::io::Result<()> {
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if Instant::now() >= until => return Ok(()),
            Err(TryLockError::WouldBlock) => tokio::time::sleep(Duration::from_millis(20)).await,
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let (parent_gone, parent) = tokio::sync::oneshot::channel::<()>();
    crate::parent::on_parent_exit(move || drop(parent_gone));
    let mut terminate = signal(SignalKind::terminate()).expect("a handler for SIGTERM");
    let mut interrupt = signal(SignalKind::interrupt()).expect("a handler for SIGINT");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        _ = parent => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_is_still_closing_is_waited_for() {
        let name = format!("tributary-alone-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).unwrap();
        let (ours, status) = (directory.join("lock"), directory.join("status"));
        // A directory that is new has no status.
        let before = alone(&ours, &status).await.unwrap();
        let of_clickhouse = File::create(&status).unwrap();
        of_clickhouse.lock().unwrap();
        let waiting = tokio::spawn({
            let (ours, status) = (ours.clone(), status.clone());
            async move { alone(&ours, &status).await }
        });
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(!waiting.is_finished());
        drop(before);
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(!waiting.is_finished());
        drop(of_clickhouse);
        let after = waiting.await.unwrap().unwrap();
        let is_locked = |path| matches!(File::open(path).unwrap().try_lock(), Err(TryLockError::WouldBlock));
        assert!(is_locked(&ours) && !is_locked(&status));
        drop(after);
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
