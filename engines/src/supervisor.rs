//! Starts the three engines, watches them, restarts a crashed one, stops all.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::net::TcpSocket;
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::postgres::{Postgres, PostgresError};

/// Longest wait for an engine to answer after its start.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// Longest wait for a port that a stopping engine still holds.
const PORT_FREE_WITHIN: Duration = Duration::from_secs(5);
/// Longest wait for an engine to stop by itself.
const STOP_WITHIN: Duration = Duration::from_secs(30);
/// A crashed engine is restarted after this.
const RESTART_AFTER: Duration = Duration::from_millis(500);
/// An engine that crashes this often in a row, each time within
/// [`CRASH_LOOP_WINDOW`] of its start, is given up.
const MAX_CRASHES: u32 = 5;
const CRASH_LOOP_WINDOW: Duration = Duration::from_secs(30);
/// Lines of an engine's log that go into an error.
const LOG_TAIL_LINES: usize = 12;

/// How the engines are to be run.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// All data, logs and locks go below it.
    pub data_dir: PathBuf,
    /// The program whose `engine kafka` and `engine clickhouse` are the children.
    pub program: PathBuf,
    /// The path of `libchdb.so`.
    pub libchdb: PathBuf,
    /// Where Postgres's programs are; `None` searches.
    pub postgres_bin: Option<PathBuf>,
    /// Loopback port of the Kafka protocol; `None` leaves Kafka out, for a
    /// broker from elsewhere.
    pub kafka_port: Option<u16>,
    /// Loopback port of ClickHouse's HTTP interface; `None` leaves ClickHouse out, for
    /// one from elsewhere.
    pub clickhouse_port: Option<u16>,
    /// What databases in ClickHouse are called that readers may be granted: their
    /// names begin so.
    pub readers_databases: String,
    /// Where readers of ClickHouse, and only they, may ask, too.
    pub readers_listen: Option<SocketAddr>,
    /// Loopback port of Postgres.
    pub postgres_port: u16,
    /// Keep topics in memory only, for benchmarks.
    pub kafka_in_memory: bool,
}

/// What went wrong with an engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Another `tributary up` works in the directory.
    #[error("{0} is in use by another tributary; stop it, or choose another --data-dir")]
    InUse(PathBuf),
    /// A file or directory cannot be used.
    #[error("{path}: {source}")]
    Path {
        /// The path.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A port is taken.
    #[error("port {port} for {engine} is taken on 127.0.0.1; free it, or choose another with {flag}")]
    PortTaken {
        /// The engine.
        engine: &'static str,
        /// The port.
        port: u16,
        /// The flag that sets it.
        flag: &'static str,
    },
    /// An engine stopped before it answered, or never did.
    #[error("{engine} did not start ({reason}); the end of {log}:\n{tail}")]
    NotReady {
        /// The engine.
        engine: &'static str,
        /// What happened to it.
        reason: String,
        /// Its log.
        log: String,
        /// The log's last lines.
        tail: String,
    },
    /// An engine crashes again and again.
    #[error("{0} has crashed too often and was given up")]
    CrashLoop(&'static str),
    /// Postgres could not be prepared.
    #[error(transparent)]
    Postgres(#[from] PostgresError),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Kafka,
    ClickHouse,
    Postgres,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::ClickHouse => "clickhouse",
            Self::Postgres => "postgres",
        }
    }

    fn port_flag(self) -> &'static str {
        match self {
            Self::Kafka => "--kafka-port",
            Self::ClickHouse => "--clickhouse-port",
            Self::Postgres => "--postgres-port",
        }
    }

    /// What makes it stop cleanly; Postgres's SIGINT is its fast shutdown.
    fn stop_signal(self) -> Signal {
        match self {
            Self::Kafka | Self::ClickHouse => Signal::SIGTERM,
            Self::Postgres => Signal::SIGINT,
        }
    }
}

/// A started engine.
struct Running {
    child: Child,
    /// The pipe whose end tells the child that this program is gone. Kept apart
    /// because waiting for a child closes the input it holds.
    _lifeline: Option<ChildStdin>,
}

/// One engine: how it is started and asked.
struct Engine {
    kind: Kind,
    port: u16,
    config: EngineConfig,
    postgres: Option<Postgres>,
}

/// The running engines. Dropped without [`Engines::stop`], the children see
/// their parent gone and stop by themselves.
pub struct Engines {
    stop: watch::Sender<bool>,
    watchers: JoinSet<Result<(), EngineError>>,
    _lock: File,
}

impl Engines {
    /// Starts all engines and waits until each answers.
    ///
    /// # Errors
    /// When the directory is in use, a port is taken or an engine fails.
    pub async fn start(config: &EngineConfig) -> Result<Self, EngineError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| EngineError::Path { path, source }
        };
        let logs = config.data_dir.join("logs");
        std::fs::create_dir_all(&logs).map_err(at(&logs))?;
        let lock = lock_directory(&config.data_dir)?;
        let postgres_dir = config.data_dir.join("postgres");
        let postgres = Postgres::find(config.postgres_bin.as_deref(), &postgres_dir, config.postgres_port)?;
        let engine = |kind, port, postgres| Engine { kind, port, config: config.clone(), postgres };
        let mut engines = vec![engine(Kind::Postgres, config.postgres_port, Some(postgres.clone()))];
        for (kind, port) in [(Kind::ClickHouse, config.clickhouse_port), (Kind::Kafka, config.kafka_port)] {
            engines.extend(port.map(|port| engine(kind, port, None)));
        }
        let (stop, stopped) = watch::channel(false);
        let mut starting = JoinSet::new();
        for engine in engines {
            starting.spawn(async move {
                let running = engine.start().await?;
                Ok::<_, EngineError>((engine, running))
            });
        }
        // One failure ends the start; dropping the set then ends the others,
        // whose children are killed on drop.
        let mut watchers = JoinSet::new();
        while let Some(started) = starting.join_next().await {
            let (engine, running) = started.expect("starting an engine does not panic")?;
            watchers.spawn(engine.watch(running, stopped.clone()));
        }
        tokio::task::spawn_blocking(move || postgres.create_database())
            .await
            .expect("creating a database does not panic")?;
        Ok(Self { stop, watchers, _lock: lock })
    }

    /// Waits until an engine is given up, and says which.
    pub async fn failure(&mut self) -> EngineError {
        loop {
            match self.watchers.join_next().await {
                Some(Ok(Err(error))) => return error,
                Some(_) => {}
                None => std::future::pending().await,
            }
        }
    }

    /// Stops all engines and waits for their ends.
    pub async fn stop(mut self) {
        if self.stop.send(true).is_err() {
            return;
        }
        while self.watchers.join_next().await.is_some() {}
    }
}

fn lock_directory(data_dir: &Path) -> Result<File, EngineError> {
    let path = data_dir.join("lock");
    let lock = File::create(&path).map_err(|source| EngineError::Path { path: path.clone(), source })?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(std::fs::TryLockError::WouldBlock) => Err(EngineError::InUse(data_dir.to_owned())),
        Err(std::fs::TryLockError::Error(source)) => Err(EngineError::Path { path, source }),
    }
}

impl Engine {
    fn log_path(&self) -> PathBuf {
        self.config.data_dir.join("logs").join(format!("{}.log", self.kind.name()))
    }

    fn command(&self) -> Command {
        let data_dir = self.config.data_dir.join(self.kind.name());
        let mut command = match &self.postgres {
            Some(postgres) => Command::from(postgres.server_command()),
            None => Command::new(&self.config.program),
        };
        match self.kind {
            Kind::Postgres => {}
            Kind::Kafka => {
                command.args(["engine", "kafka", "--port", &self.port.to_string(), "--data"]);
                command.arg(data_dir);
                // It notes every message otherwise.
                command.env("TRIBUTARY_LOG", "warn");
                if self.config.kafka_in_memory {
                    command.arg("--in-memory");
                }
            }
            Kind::ClickHouse => {
                command.args(["engine", "clickhouse", "--port", &self.port.to_string(), "--data"]);
                command.arg(data_dir).arg("--libchdb").arg(&self.config.libchdb);
                command.args(["--readers-databases", &self.config.readers_databases]);
                if let Some(address) = self.config.readers_listen {
                    command.args(["--readers-listen", &address.to_string()]);
                }
            }
        }
        if self.kind != Kind::Postgres {
            // The pipe whose end tells the child that this program is gone.
            command.stdin(Stdio::piped());
        }
        command
    }

    async fn start(&self) -> Result<Running, EngineError> {
        if let Some(postgres) = self.postgres.clone() {
            tokio::task::spawn_blocking(move || postgres.prepare())
                .await
                .expect("preparing a directory does not panic")?;
        }
        self.wait_for_port().await?;
        let log_path = self.log_path();
        let at = |source| EngineError::Path { path: log_path.clone(), source };
        let log = File::options().create(true).append(true).open(&log_path).map_err(at)?;
        let mut command = self.command();
        command.stdout(log.try_clone().map_err(at)?).stderr(log).kill_on_drop(true);
        // A terminal's Ctrl-C goes to the whole group; the engines are to be
        // stopped by this program, after the services that use them.
        command.process_group(0);
        let mut child = command.spawn().map_err(|source| EngineError::Path {
            path: PathBuf::from(command.as_std().get_program()),
            source,
        })?;
        let lifeline = child.stdin.take();
        let started = Instant::now();
        loop {
            if let Ok(Some(status)) = child.try_wait() {
                return Err(self.not_ready(format!("it ended with {}", describe(status))));
            }
            if self.answers().await {
                tracing::info!(engine = self.kind.name(), port = self.port, "engine is up");
                return Ok(Running { child, _lifeline: lifeline });
            }
            if started.elapsed() > READY_WITHIN {
                return Err(self.not_ready(format!("no answer within {READY_WITHIN:?}")));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn not_ready(&self, reason: String) -> EngineError {
        let log = std::fs::read_to_string(self.log_path()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n");
        let log = self.log_path().display().to_string();
        EngineError::NotReady { engine: self.kind.name(), reason, log, tail }
    }

    async fn wait_for_port(&self) -> Result<(), EngineError> {
        let started = Instant::now();
        while take_port(self.port).is_err() {
            if started.elapsed() > PORT_FREE_WITHIN {
                return Err(EngineError::PortTaken {
                    engine: self.kind.name(),
                    port: self.port,
                    flag: self.kind.port_flag(),
                });
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    async fn answers(&self) -> bool {
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, self.port);
        let postgres = self.postgres.clone();
        let ask = move || match postgres {
            Some(postgres) => postgres.is_ready(),
            None => TcpStream::connect_timeout(&address.into(), Duration::from_secs(1)).is_ok(),
        };
        tokio::task::spawn_blocking(ask).await.unwrap_or(false)
    }

    /// Keeps the engine running until told to stop.
    async fn watch(
        self,
        mut running: Running,
        mut stopped: watch::Receiver<bool>,
    ) -> Result<(), EngineError> {
        let mut crashes = 0;
        loop {
            let started = Instant::now();
            let status = tokio::select! {
                status = running.child.wait() => status,
                () = told_to_stop(&mut stopped) => return self.stop(running).await,
            };
            let status = status.map_or_else(|error| error.to_string(), describe);
            crashes = if started.elapsed() < CRASH_LOOP_WINDOW { crashes + 1 } else { 1 };
            tracing::error!(engine = self.kind.name(), status, crashes, log = %self.log_path().display(),
                "engine crashed; restarting it");
            if crashes >= MAX_CRASHES {
                return Err(EngineError::CrashLoop(self.kind.name()));
            }
            tokio::time::sleep(RESTART_AFTER).await;
            if *stopped.borrow() {
                return Ok(());
            }
            running = self.start().await?;
        }
    }

    async fn stop(&self, mut running: Running) -> Result<(), EngineError> {
        let child = &mut running.child;
        let pid = child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(pid) = pid
            && let Err(error) = kill(Pid::from_raw(pid), self.kind.stop_signal())
        {
            tracing::warn!(engine = self.kind.name(), %error, "cannot signal the engine");
        }
        match tokio::time::timeout(STOP_WITHIN, child.wait()).await {
            Ok(status) => {
                let status = status.map_or_else(|error| error.to_string(), describe);
                tracing::info!(engine = self.kind.name(), status, "engine stopped");
            }
            Err(_elapsed) => {
                tracing::warn!(engine = self.kind.name(), "engine does not stop; killing it");
                if let Err(error) = child.kill().await {
                    tracing::warn!(engine = self.kind.name(), %error, "cannot kill the engine");
                }
            }
        }
        Ok(())
    }
}

/// Binds a port without listening on it: another engine that is being spawned at this
/// moment holds the socket, too, until it has become its program, and would be taken for the answer of
/// this one if it listened.
fn take_port(port: u16) -> std::io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    // What a closed connection leaves behind is in nobody's way.
    socket.set_reuseaddr(true)?;
    socket.bind((Ipv4Addr::LOCALHOST, port).into())?;
    Ok(socket)
}

/// Done once stopping is asked for, or nobody is left to ask.
async fn told_to_stop(stopped: &mut watch::Receiver<bool>) {
    while !*stopped.borrow_and_update() {
        if stopped.changed().await.is_err() {
            return;
        }
    }
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "an unknown status".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_port_that_is_only_tried_answers_nobody() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("it is bound");
        assert!(take_port(address.port()).is_err(), "somebody listens there");
        drop(listener);
        let _held = take_port(address.port()).expect("it is free");
        assert!(TcpStream::connect(address).is_err(), "nobody listens there");
    }
}
