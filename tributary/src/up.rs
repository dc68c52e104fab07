//! `tributary up`: everything on one machine.

use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context as _;
use clap::Args;
use engines::postgres::{DATABASE, SUPERUSER};
use engines::supervisor::{EngineConfig, Engines};
use runtime::shutdown::{self, CancellationToken};

use crate::settings::Settings;
use crate::{demo, services};

#[derive(Args)]
pub(crate) struct UpArgs {
    /// Also create the demo workspace, send a stream of clicks through it and print what came of it
    #[arg(long)]
    demo: bool,

    /// Loopback port of the embedded Kafka
    #[arg(long, env = "TRIBUTARY_KAFKA_PORT", default_value_t = 9092, value_name = "PORT")]
    kafka_port: u16,

    /// Loopback port of the embedded Postgres
    #[arg(long, env = "TRIBUTARY_POSTGRES_PORT", default_value_t = 5433, value_name = "PORT")]
    postgres_port: u16,

    /// Loopback port of the embedded ClickHouse
    #[arg(long, env = "TRIBUTARY_CLICKHOUSE_PORT", default_value_t = 8123, value_name = "PORT")]
    clickhouse_port: u16,

    /// Where readers of ClickHouse (`/v1/sql-access`), and only they, may ask, too; the port above
    /// is the machine's own
    #[arg(long, env = "TRIBUTARY_READERS_LISTEN", value_name = "ADDR:PORT")]
    readers_listen: Option<SocketAddr>,

    /// Start the engines only, with their tables and topics; run `ingest`, `process`, `sink` and
    /// `api` beside them
    #[arg(long, conflicts_with = "demo")]
    engines_only: bool,

    /// Use the Kafka at --brokers instead of the embedded one
    #[arg(long)]
    no_kafka: bool,

    /// Use the ClickHouse at --clickhouse-url instead of the embedded one
    #[arg(long, conflicts_with = "readers_listen")]
    no_clickhouse: bool,

    /// Keep Kafka's topics in memory only (for benchmarks: nothing survives the process)
    #[arg(long)]
    kafka_in_memory: bool,

    /// Directory of Postgres's programs (default: the newest below /usr/lib/postgresql, then PATH)
    #[arg(long, env = "TRIBUTARY_POSTGRES_BIN", value_name = "DIR")]
    postgres_bin: Option<PathBuf>,

    /// The ClickHouse library (default: where `make engines` puts it)
    #[arg(long, env = "TRIBUTARY_LIBCHDB", value_name = "FILE")]
    libchdb: Option<PathBuf>,
}

pub(crate) async fn run(mut settings: Settings, args: UpArgs) -> anyhow::Result<()> {
    if settings.metrics_listen.is_some() {
        tracing::warn!(
            "--metrics-listen changes nothing here: `up` has all metrics at the collector's /metrics"
        );
    }
    runtime::telemetry::init_metrics();
    let started = Instant::now();
    std::fs::create_dir_all(&settings.data_dir)
        .with_context(|| format!("data directory {}", settings.data_dir.display()))?;
    settings.data_dir = settings.data_dir.canonicalize()?;
    let config = engine_config(&settings, &args)?;
    if !args.engines_only {
        check_addresses(&settings, &args)?;
    }
    let started_here = match (args.no_clickhouse, args.no_kafka) {
        (false, false) => "Postgres, ClickHouse and Kafka",
        (false, true) => "Postgres and ClickHouse",
        (true, false) => "Postgres and Kafka",
        (true, true) => "Postgres",
    };
    say!("Starting {started_here} in {} …", settings.data_dir.display());
    let stop = shutdown::on_signals();
    let mut engines = tokio::select! {
        engines = Engines::start(&config) => engines?,
        () = stop.cancelled() => return Ok(()),
    };
    point_at_engines(&mut settings, &args);
    let outcome = run_services(&mut settings, &args, &mut engines, &stop, started).await;
    stop.cancel();
    engines.stop().await;
    outcome
}

fn engine_config(settings: &Settings, args: &UpArgs) -> anyhow::Result<EngineConfig> {
    let libchdb = args.libchdb.clone().unwrap_or_else(Settings::libchdb_default);
    if settings.cluster()?.is_some() && !args.no_clickhouse {
        anyhow::bail!(
            "--clickhouse-cluster is set, and the embedded ClickHouse is one server: \
             name another with --clickhouse-url and --no-clickhouse, or leave the cluster out"
        );
    }
    if !args.no_clickhouse && !libchdb.exists() {
        anyhow::bail!(
            "the ClickHouse library is not at {}: run `make engines`, or name it with --libchdb",
            libchdb.display()
        );
    }
    Ok(EngineConfig {
        data_dir: settings.data_dir.clone(),
        program: std::env::current_exe().context("this program's own path")?,
        libchdb,
        postgres_bin: args.postgres_bin.clone(),
        kafka_port: (!args.no_kafka).then_some(args.kafka_port),
        clickhouse_port: (!args.no_clickhouse).then_some(args.clickhouse_port),
        readers_databases: api::views_prefix(&settings.clickhouse_database),
        readers_listen: args.readers_listen,
        postgres_port: args.postgres_port,
        kafka_in_memory: args.kafka_in_memory,
    })
}

fn point_at_engines(settings: &mut Settings, args: &UpArgs) {
    if !args.no_kafka {
        settings.brokers = format!("127.0.0.1:{}", args.kafka_port);
    }
    if !args.no_clickhouse {
        settings.clickhouse_url = format!("http://127.0.0.1:{}", args.clickhouse_port);
        (settings.clickhouse_user, settings.clickhouse_password) = ("default".to_owned(), String::new());
    }
    let role = store::migrate::APP_ROLE;
    settings.database_url = format!("postgres://{role}@127.0.0.1:{}/{DATABASE}", args.postgres_port);
    settings.owner_database_url =
        format!("postgres://{SUPERUSER}@127.0.0.1:{}/{DATABASE}", args.postgres_port);
}

async fn run_services(
    settings: &mut Settings,
    args: &UpArgs,
    engines: &mut Engines,
    stop: &CancellationToken,
    started: Instant,
) -> anyhow::Result<()> {
    services::migrate(settings).await?;
    if !args.no_kafka {
        // Nobody else is on the embedded broker; whoever it thinks is in the
        // groups was killed with an earlier run.
        runtime::topics::forget_groups(&settings.brokers, &settings.groups()).await?;
    }
    let (admin, secrets) = (settings.admin_key_file(), settings.secrets_key_file());
    settings.admin_key = Some(kept_key(&admin, settings.admin_key.as_deref(), || {
        format!("admin_{}", runtime::random::hex_id())
    })?);
    settings.secrets_key = Some(kept_key(&secrets, settings.secrets_key.as_deref(), || {
        format!("{}{}", runtime::random::hex_id(), runtime::random::hex_id())
    })?);
    if args.engines_only {
        return serve_engines(settings, engines, stop, started).await;
    }
    // Not a child of `stop`: the demo winds up before its services are told.
    let services_stop = CancellationToken::new();
    let services = all_services(settings, &services_stop).await?;
    say!(
        "Ready after {:.1} s: collector http://{}, API http://{}, ClickHouse {}",
        started.elapsed().as_secs_f64(),
        settings.listen,
        settings.api_listen,
        settings.clickhouse_url
    );
    let services = services::run_all(services, services_stop.clone());
    tokio::pin!(services);
    let work = async {
        if args.demo {
            demo::run(settings, stop).await?;
        }
        if !stop.is_cancelled() {
            say!("\nServing until stopped (Ctrl-C).");
        }
        stop.cancelled().await;
        say!("Stopping …");
        Ok(())
    };
    // Whatever ends first, the services are stopped before the engines are.
    let outcome = tokio::select! {
        outcome = work => outcome,
        failure = engines.failure() => Err(failure.into()),
        ended = &mut services => return ended,
    };
    services_stop.cancel();
    outcome.and(services.await)
}

/// Every service, those that may fail to start first: the others work from the
/// moment they are made.
async fn all_services(
    settings: &Settings,
    stop: &CancellationToken,
) -> anyhow::Result<Vec<(&'static str, services::Service)>> {
    Ok(vec![
        ("API", services::api(settings, stop.clone()).await?),
        ("collector", services::ingest(settings, stop.clone()).await?),
        ("attribution", services::attribution(settings, stop.clone())?),
        ("settlement", services::settlement(settings, stop.clone())?),
        ("wallets", services::wallets(settings, stop.clone())?),
        ("partitions", services::partitions(settings, stop.clone())?),
        ("reconcile", services::reconcile(settings, stop.clone())?),
        ("event sink", services::event_sink(settings, stop.clone())?),
        ("outcome sink", services::outcome_sink(settings, stop.clone())?),
        ("roll-ups", services::rollups(settings, stop.clone())?),
        ("retention", services::retention(settings, stop.clone())?),
        ("leaderboard snapshots", services::snapshots(settings, stop.clone())?),
        ("readings and names", services::states(settings, stop.clone())?),
        ("social refresher", services::social_refresher(settings, stop.clone())?),
        ("backlog", services::backlog(settings, stop.clone())),
    ])
}

/// Refuses addresses that somebody else listens on, before anything is started.
fn check_addresses(settings: &Settings, args: &UpArgs) -> anyhow::Result<()> {
    let services =
        [(settings.listen, "the collector", "--listen"), (settings.api_listen, "the API", "--api-listen")];
    let readers = args.readers_listen.map(|address| (address, "ClickHouse for readers", "--readers-listen"));
    for (address, what, flag) in services.into_iter().chain(readers) {
        std::net::TcpListener::bind(address)
            .with_context(|| format!("{what} cannot listen on {address}; choose another with {flag}"))?;
    }
    Ok(())
}

async fn serve_engines(
    settings: &Settings,
    engines: &mut Engines,
    stop: &CancellationToken,
    started: Instant,
) -> anyhow::Result<()> {
    say!(
        "Ready after {:.1} s: Kafka {}, Postgres {}, ClickHouse {}",
        started.elapsed().as_secs_f64(),
        settings.brokers,
        settings.database_url,
        settings.clickhouse_url
    );
    tokio::select! {
        () = stop.cancelled() => Ok(()),
        failure = engines.failure() => Err(failure.into()),
    }
}

/// A key: the setting, or the one in the file, which is made if it is missing.
fn kept_key(path: &Path, setting: Option<&str>, make: impl FnOnce() -> String) -> anyhow::Result<String> {
    let at = || format!("key file {}", path.display());
    if let Some(key) = setting {
        return Ok(key.to_owned());
    }
    if path.exists() {
        return Ok(std::fs::read_to_string(path).with_context(at)?.trim().to_owned());
    }
    let key = make();
    let mut file =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).with_context(at)?;
    writeln!(file, "{key}").with_context(at)?;
    Ok(key)
}
