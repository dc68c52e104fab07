//! Runs requests on connections: a fresh one for each (about half a
//! millisecond), so that no setting leaks, or a kept one for a `session_id`.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::library::{Connection, EngineError, Library, Output};
use super::request::QueryRequest;

/// A kept session is closed after this much idleness, ClickHouse's default.
const SESSION_IDLE: Duration = Duration::from_secs(60);

type Kept = Arc<Mutex<Connection>>;

/// All of the engine's sessions.
pub(super) struct Sessions {
    library: Arc<Library>,
    data_dir: String,
    config: String,
    kept: Mutex<HashMap<String, (Kept, Instant)>>,
    /// Keeps the engine booted while no request runs: libchdb shuts down with
    /// its last connection. `None` once closed.
    anchor: Mutex<Option<Connection>>,
}

/// Rows of an insert on their way to the engine. A channel that closes before
/// [`Rows::End`] is a client that went away: nothing is inserted.
pub(super) enum Rows {
    Piece(Bytes),
    End,
}

impl Sessions {
    pub(super) fn open(library: Arc<Library>, data_dir: &Path, config: &Path) -> Result<Self, EngineError> {
        let data_dir = data_dir.to_string_lossy().into_owned();
        let config = config.to_string_lossy().into_owned();
        let anchor = Connection::open(&library, &data_dir, &config)?;
        let (kept, anchor) = (Mutex::default(), Mutex::new(Some(anchor)));
        Ok(Self { library, data_dir, config, kept, anchor })
    }

    /// Closes every connection and ends the engine.
    pub(super) fn shut_down(&self) {
        self.kept.lock().expect("no panic while held").clear();
        self.anchor.lock().expect("no panic while held").take();
        self.library.shut_down();
    }

    fn connection(&self, session_id: Option<&str>) -> Result<Kept, EngineError> {
        let open = || {
            let connection = Connection::open(&self.library, &self.data_dir, &self.config)?;
            Ok(Arc::new(Mutex::new(connection)))
        };
        let Some(id) = session_id else { return open() };
        let mut kept = self.kept.lock().expect("no panic while held");
        let now = Instant::now();
        kept.retain(|_, (_, used)| now.duration_since(*used) < SESSION_IDLE);
        if let Some((connection, used)) = kept.get_mut(id) {
            *used = now;
            return Ok(Arc::clone(connection));
        }
        let connection = open()?;
        kept.insert(id.to_owned(), (Arc::clone(&connection), now));
        Ok(connection)
    }

    /// Calls `work` on this request's connection, with its database and
    /// settings in force. Blocks.
    fn with_connection(
        &self,
        request: &QueryRequest,
        read_only: bool,
        work: impl FnOnce(&mut Connection) -> Result<Output, EngineError>,
    ) -> Result<Output, EngineError> {
        let connection = self.connection(request.session_id.as_deref())?;
        let Ok(mut connection) = connection.try_lock() else {
            return Err(EngineError(format!(
                "Code: 373. DB::Exception: Session {} is locked by a concurrent client. (SESSION_IS_LOCKED)",
                request.session_id.as_deref().unwrap_or_default()
            )));
        };
        // `readonly` cannot be taken back, so a kept session is left writable.
        let read_only = read_only && request.session_id.is_none();
        if let Some(prelude) = request.prelude(read_only).map_err(EngineError)? {
            connection.query(&prelude, "Null", &[])?;
        }
        let result = work(&mut connection);
        if request.session_id.is_some() && !request.settings.is_empty() {
            let back: Vec<String> =
                request.settings.iter().map(|(name, _)| format!("{name} = DEFAULT")).collect();
            connection.query(&format!("SET {}", back.join(", ")), "Null", &[])?;
        }
        result
    }

    /// Runs a whole statement. Blocks.
    pub(super) fn query(
        &self,
        request: &QueryRequest,
        sql: &str,
        format: &str,
        read_only: bool,
    ) -> Result<Output, EngineError> {
        self.with_connection(request, read_only, |connection| {
            connection.query(sql, format, &request.parameters)
        })
    }

    /// Runs an insert whose rows come through `rows`. Blocks.
    pub(super) fn insert(
        &self,
        request: &QueryRequest,
        sql: &str,
        format: &str,
        mut rows: mpsc::Receiver<Rows>,
    ) -> Result<Output, EngineError> {
        self.with_connection(request, false, |connection| {
            let mut stream = connection.insert(sql, format, &request.parameters)?;
            loop {
                match rows.blocking_recv() {
                    Some(Rows::Piece(piece)) => stream.append(&piece)?,
                    Some(Rows::End) => return stream.finish(),
                    None => {
                        return Err(EngineError(
                            "Code: 210. DB::Exception: the client left before the end of its \
                             rows; nothing was inserted. (NETWORK_ERROR)"
                                .to_owned(),
                        ));
                    }
                }
            }
        })
    }
}
