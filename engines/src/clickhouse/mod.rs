//! The ClickHouse child: libchdb behind ClickHouse's HTTP interface.
//!
//! | file | job |
//! |---|---|
//! | `request` | what a request asks for |
//! | `statement` | where an INSERT's SQL ends and its rows begin |
//! | `compressed` | ClickHouse's compressed blocks |
//! | `library` | libchdb's C functions |
//! | `session` | runs a request on a connection of its own |
//! | `http` | routes, headers, exception codes |
//!
//! Left out, because nothing here needs it: users and grants (the engine is
//! on loopback and has the one user `default`), progress headers while a query
//! runs, and streamed results (a result is built in memory before it is sent).

mod compressed;
mod http;
mod library;
mod request;
mod session;
mod statement;

use std::path::{Path, PathBuf};

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
    #[error("embedded ClickHouse on 127.0.0.1:{port}: {source}")]
    Listen {
        /// The port.
        port: u16,
        /// Why.
        source: std::io::Error,
    },
}

/// Serves ClickHouse's HTTP interface on 127.0.0.1:`port`, with all data in
/// `data_dir`, until SIGTERM, SIGINT or the end of the parent process.
///
/// # Errors
/// When the library, the directory or the port cannot be used.
pub async fn run(library: &Path, data_dir: &Path, port: u16) -> Result<(), ClickHouseError> {
    std::fs::create_dir_all(data_dir)
        .map_err(|source| ClickHouseError::DataDir { path: data_dir.to_owned(), source })?;
    let loaded = library::Library::load(library)
        .map_err(|source| ClickHouseError::Library { path: library.to_owned(), source })?;
    let sessions =
        session::Sessions::open(loaded, data_dir).map_err(|error| ClickHouseError::Engine(error.0))?;
    let listen = |source| ClickHouseError::Listen { port, source };
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.map_err(listen)?;
    http::serve(listener, sessions, stop_signal()).await.map_err(listen)
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
