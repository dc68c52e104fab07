//! A whole Tributary for a test: its own directory, its own ports, its own
//! processes, all gone at the end.

mod cluster;
mod http;
pub mod naive;
mod pipeline;
mod proxy;
mod random;
mod world;

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::cluster::Cluster;
pub use crate::http::{Answer, Http};
pub use crate::pipeline::{Settler, reader};
pub use crate::proxy::{Point, Proxy};
pub use crate::random::Random;
pub use crate::world::{BROWSER, Campaign, World};

/// Names the brokers of a Kafka to test against instead of the embedded one.
const BROKERS: &str = "TRIBUTARY_TEST_BROKERS";
/// Of how many shards ClickHouse is, one or two; unset, it is no cluster.
const SHARDS: &str = "TRIBUTARY_TEST_SHARDS";
/// A start takes at most this long, on a busy machine.
const START_WITHIN: Duration = Duration::from_secs(120);

/// The program that was built beside this test.
pub fn program() -> PathBuf {
    let test = std::env::current_exe().expect("this test's own path");
    let name = format!("tributary{}", std::env::consts::EXE_SUFFIX);
    let built = test.ancestors().skip(1).map(|dir| dir.join(&name)).find(|path| path.is_file());
    built.expect("`cargo build -p tributary` comes before the tests")
}

/// The HMAC-SHA-256 of `text`, in hex, as webhooks are signed with.
pub fn hmac_sha256(key: &[u8], text: &[u8]) -> String {
    use hmac::Mac as _;
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(key).expect("any length will do");
    mac.update(text);
    hex::encode(mac.finalize().into_bytes())
}

/// Ports that the system gives to no outgoing connection of its own accord.
const PORTS: std::ops::Range<u32> = 12_000..32_000;

/// A port that is free now, and that no other test of this process was given.
pub fn free_port() -> u16 {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    // Other processes' tests begin elsewhere.
    let first = std::process::id().wrapping_mul(97);
    loop {
        let next = first.wrapping_add(GIVEN.fetch_add(1, Ordering::Relaxed));
        let port = PORTS.start + next % (PORTS.end - PORTS.start);
        let port = u16::try_from(port).expect("it is below 32,000");
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// Ports of one stack.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    pub collector: u16,
    pub api: u16,
    pub kafka: u16,
    pub postgres: u16,
    pub clickhouse: u16,
}

/// A stack: `tributary up` on a directory of its own.
pub struct Stack {
    pub ports: Ports,
    dir: tempfile::TempDir,
    prefix: String,
    brokers: Option<String>,
    cluster: Option<Cluster>,
    child: Option<Child>,
}

impl Stack {
    /// Starts a stack and waits until it serves.
    pub fn start() -> anyhow::Result<Self> {
        Self::start_with(&[])
    }

    /// As [`Stack::start`], with more arguments for `up`.
    pub fn start_with(arguments: &[&str]) -> anyhow::Result<Self> {
        Self::start_on(std::env::var(BROKERS).ok(), arguments)
    }

    /// As [`Stack::start_with`], with the Kafka at `brokers`.
    pub fn beside(brokers: &str, arguments: &[&str]) -> anyhow::Result<Self> {
        Self::start_on(Some(brokers.to_owned()), arguments)
    }

    fn start_on(brokers: Option<String>, arguments: &[&str]) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("tributary-test-").tempdir()?;
        // Postgres runs as another user where the tests run as root.
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755))?;
        let mut ports = Ports {
            collector: free_port(),
            api: free_port(),
            kafka: free_port(),
            postgres: free_port(),
            clickhouse: free_port(),
        };
        // A Kafka that outlives the test keeps its topics.
        let prefix = match brokers {
            Some(_) => format!("t{}-", uuid::Uuid::now_v7().simple()),
            None => String::new(),
        };
        let cluster = match std::env::var(SHARDS) {
            Ok(shards) => Some(Cluster::start(&dir.path().join("cluster"), shards.parse()?)?),
            Err(_) => None,
        };
        if let Some(cluster) = &cluster {
            ports.clickhouse = cluster.port();
        }
        let mut stack = Self { ports, dir, prefix, brokers, cluster, child: None };
        stack.up(arguments)?;
        Ok(stack)
    }

    /// Starts again on the same directory and ports.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.restart_with(&[])
    }

    /// As [`Stack::restart`], with more arguments for `up`.
    pub fn restart_with(&mut self, arguments: &[&str]) -> anyhow::Result<()> {
        self.up(arguments)
    }

    fn up(&mut self, arguments: &[&str]) -> anyhow::Result<()> {
        assert!(self.child.is_none(), "it runs");
        let mut command = self.command();
        command.arg("up").args(arguments);
        command.args(["--kafka-port", &self.ports.kafka.to_string()]);
        command.args(["--postgres-port", &self.ports.postgres.to_string()]);
        command.args(["--clickhouse-port", &self.ports.clickhouse.to_string()]);
        if self.brokers.is_some() {
            command.arg("--no-kafka");
        }
        if self.cluster.is_some() {
            command.arg("--no-clickhouse");
        }
        let log = std::fs::File::options().create(true).append(true).open(self.log_path())?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        die_with_test(&mut command);
        let mut child = command.spawn().context("cannot start tributary")?;
        let mut stdout = BufReader::new(child.stdout.take().context("it has an output")?);
        let (ready, is_ready) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            while matches!(stdout.read_line(&mut line), Ok(n) if n > 0) {
                if line.starts_with("Ready") {
                    ready.send(()).ok();
                }
                line.clear();
            }
        });
        self.child = Some(child);
        if is_ready.recv_timeout(START_WITHIN).is_err() {
            bail!("tributary did not get ready; its log:\n{}", self.log_tail());
        }
        Ok(())
    }

    /// A command of the program, pointed at this stack.
    pub fn command(&self) -> Command {
        self.command_within(&[])
    }

    /// As [`Stack::command`], run by another program with its arguments.
    pub fn command_within(&self, runner: &[String]) -> Command {
        let mut command = match runner {
            [] => Command::new(program()),
            [runner, arguments @ ..] => {
                let mut command = Command::new(runner);
                command.args(arguments).arg(program());
                command
            }
        };
        let ports = self.ports;
        let brokers = self.brokers();
        command
            .env_remove("TRIBUTARY_CONFIG")
            // What was just loaded is looked for at once.
            .env("TRIBUTARY_REPORT_CACHE_SECONDS", "0")
            .env("TRIBUTARY_DATA_DIR", self.data_dir())
            .env("TRIBUTARY_BROKERS", brokers)
            .env("TRIBUTARY_TOPIC_PREFIX", &self.prefix)
            .env("TRIBUTARY_LISTEN", format!("127.0.0.1:{}", ports.collector))
            .env("TRIBUTARY_API_LISTEN", format!("127.0.0.1:{}", ports.api))
            .env("TRIBUTARY_CLICKHOUSE_URL", self.clickhouse_url())
            .env("TRIBUTARY_DATABASE_URL", self.database_url("tributary_app", "tributary"))
            .env("TRIBUTARY_OWNER_DATABASE_URL", self.database_url("tributary", "tributary"));
        if self.cluster.is_some() {
            command.env("TRIBUTARY_CLICKHOUSE_CLUSTER", cluster::CLUSTER);
        }
        command
    }

    /// Runs a command of the program to its end.
    pub fn run(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        Ok(self.command().args(arguments).output()?)
    }

    /// Waits until everything that was collected is in the books and in
    /// ClickHouse.
    pub fn settle(&self) -> anyhow::Result<()> {
        let output = self.run(&["status", "--wait", "90"])?;
        if !output.status.success() {
            bail!(
                "the pipeline does not come to rest: {}{}\n{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr),
                self.log_tail()
            );
        }
        Ok(())
    }

    /// Runs `reconcile` over all there is, which must pass.
    pub fn reconcile(&self) -> anyhow::Result<()> {
        let output = self.run(&["reconcile", "--full", "--days", "3660", "--grace-minutes", "0"])?;
        let text = String::from_utf8_lossy(&output.stdout);
        // Two shards that are one show everything twice to who asks for all workspaces.
        let is_doubled = std::env::var(SHARDS).is_ok_and(|shards| shards == "2");
        let failed = text.lines().filter(|line| line.starts_with("FAILED"));
        if is_doubled && failed.clone().count() > 0 {
            anyhow::ensure!(failed.clone().all(|line| line.contains("in ClickHouse")), "reconcile: {text}");
            return Ok(());
        }
        if !output.status.success() || !text.contains("checks passed") {
            bail!("reconcile: {text}{}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }

    /// The digest of the books.
    pub fn digest(&self) -> anyhow::Result<String> {
        let output = self.run(&["ledger", "digest"])?;
        anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    /// Kills the program as nothing else can be killed.
    pub fn kill_9(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("it can be killed");
            child.wait().expect("it can be waited for");
        }
    }

    /// Halts the embedded broker, as a machine that swaps would; what it was
    /// sent and has not answered stays open. Another's Kafka is left alone.
    pub fn freeze_kafka(&self) -> Option<FrozenKafka> {
        let wanted = format!("engine\0kafka\0--port\0{}\0", self.ports.kafka);
        let processes = std::fs::read_dir("/proc").expect("a Linux machine").filter_map(Result::ok);
        let pid =
            processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok()).find(|pid| {
                let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                String::from_utf8_lossy(&command).contains(&wanted)
            })?;
        kill(Pid::from_raw(pid), Signal::SIGSTOP).expect("it is this test's");
        Some(FrozenKafka(Pid::from_raw(pid)))
    }

    /// Stops the program with SIGTERM; gives its exit code.
    pub fn stop(&mut self) -> anyhow::Result<Option<i32>> {
        let mut child = self.child.take().context("it runs")?;
        kill(Pid::from_raw(i32::try_from(child.id())?), Signal::SIGTERM)?;
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(60) {
            if let Some(status) = child.try_wait()? {
                return Ok(status.code());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        child.kill()?;
        child.wait()?;
        bail!("tributary does not stop; its log:\n{}", self.log_tail())
    }

    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub fn log_path(&self) -> PathBuf {
        self.dir.path().join("tributary.log")
    }

    /// The end of the program's log.
    pub fn log_tail(&self) -> String {
        let log = std::fs::read_to_string(self.log_path()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    pub fn brokers(&self) -> String {
        self.brokers.clone().unwrap_or_else(|| format!("127.0.0.1:{}", self.ports.kafka))
    }

    pub fn topics(&self) -> runtime::topics::Topics {
        runtime::topics::Topics::new(&self.prefix)
    }

    pub fn collector_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.collector)
    }

    pub fn api_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.api)
    }

    pub fn clickhouse_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.clickhouse)
    }

    pub fn clickhouse(&self) -> sinks::Client {
        sinks::client(&self.clickhouse_url(), "tributary")
    }

    pub fn database_url(&self, role: &str, database: &str) -> String {
        format!("postgres://{role}@127.0.0.1:{}/{database}", self.ports.postgres)
    }

    pub async fn pool(&self) -> anyhow::Result<store::Pool> {
        Ok(store::connect(&self.database_url("tributary_app", "tributary"), 8).await?)
    }

    pub fn admin_key(&self) -> anyhow::Result<String> {
        let path = self.data_dir().join("admin.key");
        Ok(std::fs::read_to_string(&path).with_context(|| path.display().to_string())?.trim().to_owned())
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if self.child.is_some()
            && let Err(error) = self.stop()
        {
            // A test that fails already must not panic again.
            std::mem::drop(error);
        }
    }
}

/// A halted broker; killed when dropped.
pub struct FrozenKafka(Pid);

impl FrozenKafka {
    /// Lets it go on.
    pub fn thaw(self) {
        kill(self.0, Signal::SIGCONT).expect("it is this test's");
        std::mem::forget(self);
    }
}

impl Drop for FrozenKafka {
    fn drop(&mut self) {
        kill(self.0, Signal::SIGKILL).ok();
    }
}

/// No process outlives a test that was killed.
pub fn die_with_test(command: &mut Command) {
    // SAFETY: one system call between fork and exec.
    unsafe {
        command.pre_exec(|| Ok(nix::sys::prctl::set_pdeathsig(Signal::SIGTERM)?));
    }
}

/// The top of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in the repository")
}
