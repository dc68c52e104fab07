//! Engines and a collector with everything on, and one link. What the collector
//! writes is not read by anybody meanwhile, so that it alone is measured.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::Context as _;
use tests::{Stack, World, repository};

use crate::running::Running;

/// What makes the embedded broker keep everything in memory.
pub(crate) const IN_MEMORY: &[&str] = &["--engines-only", "--kafka-in-memory"];
pub(crate) const ON_DISK: &[&str] = &["--engines-only"];
/// As many as there are unless set.
pub(crate) const PARTITIONS: u8 = 4;

pub(crate) struct Collecting {
    collector: Running,
    /// The link's code.
    pub(crate) code: String,
    /// The workspace's key.
    pub(crate) key: String,
    pub(crate) stack: Stack,
}

impl Collecting {
    pub(crate) async fn start(arguments: &[&str]) -> anyhow::Result<Self> {
        Self::start_with(arguments, PARTITIONS).await
    }

    /// One whose topics have so many partitions.
    pub(crate) async fn start_with(arguments: &[&str], partitions: u8) -> anyhow::Result<Self> {
        let partitions = partitions.to_string();
        let stack = Stack::start_with(&[arguments, &["--partitions", &partitions]].concat())?;
        let api = serve(stack.command().args(["api", "--partitions", &partitions]))?;
        let collector = serve(collector(&stack).args(["--partitions", &partitions]))?;
        let made = made(&stack).await;
        drop(api);
        let (code, key) = made?;
        Ok(Self { collector, code, key, stack })
    }

    /// Another collector on the same engines, of this program.
    pub(crate) fn beside(&self, program: &OsStr) -> anyhow::Result<Beside> {
        let (port, data) = (tests::free_port(), tempfile::tempdir()?);
        let mut command = Command::new(program);
        let like = collector(&self.stack);
        command.args(like.get_args());
        command.envs(like.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.env("TRIBUTARY_LISTEN", format!("127.0.0.1:{port}")).env("TRIBUTARY_DATA_DIR", data.path());
        Ok(Beside { _collector: serve(&mut command)?, port, _data: data })
    }

    /// The collector's memory, in bytes.
    pub(crate) fn memory(&self) -> anyhow::Result<u64> {
        let path = PathBuf::from(format!("/proc/{}/status", self.collector.id()));
        let status = std::fs::read_to_string(path)?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("its memory")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1_024)
    }
}

/// A collector beside another one.
pub(crate) struct Beside {
    _collector: Running,
    pub(crate) port: u16,
    _data: tempfile::TempDir,
}

/// A collector with everything on.
fn collector(stack: &Stack) -> Command {
    let geoip = |name: &str| repository().join("tests/data/geoip").join(name);
    let mut command = stack.command();
    command
        .arg("ingest")
        .env("TRIBUTARY_GEOIP", geoip("GeoLite2-City-Test.mmdb"))
        .env("TRIBUTARY_GEOIP_ASN", geoip("GeoLite2-ASN-Test.mmdb"))
        .env("TRIBUTARY_TRUSTED_PROXIES", "127.0.0.1");
    command
}

fn serve(command: &mut Command) -> anyhow::Result<Running> {
    Running::start(command.env("TRIBUTARY_LOG", "error").stdout(Stdio::null()))
}

async fn made(stack: &Stack) -> anyhow::Result<(String, String)> {
    let world = World::create_soon(stack, "bench").await?;
    // Without money: funding is settlement's, which does not run here.
    Ok((world.campaign("click", 5, 0).await?.code, world.key))
}
