//! The program: reads its settings, starts what it is asked for.
#![allow(clippy::print_stdout, reason = "this crate is the program: standard output is for its user")]

#[macro_use]
mod say;

mod attribute;
mod backlog;
mod demo;
mod directory;
mod explain;
mod http_client;
mod ledger;
mod moment;
mod reconcile;
mod replay;
mod services;
mod settings;
mod show;
mod sources;
mod status;
mod up;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use engines::clickhouse::ClickHouseConfig;
use engines::kafka::Storage;
use runtime::shutdown;

use crate::settings::Settings;

/// A click is dozens of small allocations, and glibc's allocator took a quarter
/// of the collector's time for them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Turns clicks into credits: collects clicks and sales, decides which campaign
/// and creator earned them, keeps exact double-entry books, and loads
/// everything into ClickHouse.
///
/// Start with `tributary up --demo`: it runs the whole pipeline on this machine,
/// with real Kafka, Postgres and ClickHouse engines, and sends a realistic
/// stream of clicks through it.
#[derive(Parser)]
#[command(name = "tributary", version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    settings: Settings,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run everything on this machine: engines, collector, processors, sinks, API
    Up(up::UpArgs),
    /// Run the collector
    Ingest,
    /// Run attribution and settlement, release earnings when their hold ends, check the books
    Process,
    /// Run the loaders into ClickHouse
    Sink,
    /// Run the control and report API
    Api,
    /// Bring Postgres, ClickHouse and the topics up to date; safe to run again
    Migrate,
    /// Send a web server's access log through the collector and measure it
    Replay(replay::ReplayArgs),
    /// Check the books and ClickHouse; exit 1 with the offending ids if something is wrong, 3 if
    /// nobody could tell
    Reconcile(reconcile::ReconcileArgs),
    /// Say how far each service is behind; with --wait, wait until none is
    Status(status::StatusArgs),
    /// Say why an action earned what it did, or nothing
    Explain(explain::ExplainArgs),
    /// Share conversions among channels by a model, from a file of journeys
    Attribute(attribute::AttributeArgs),
    /// Look into the ledger
    #[command(subcommand)]
    Ledger(ledger::LedgerCommand),
    /// Run one engine in this process (what `up` starts its children with)
    #[command(subcommand, hide = true)]
    Engine(EngineCommand),
}

#[derive(Subcommand)]
enum EngineCommand {
    /// A Kafka broker
    Kafka {
        #[arg(long)]
        port: u16,
        #[arg(long)]
        data: PathBuf,
        /// Keep topics in memory only
        #[arg(long)]
        in_memory: bool,
    },
    /// A ClickHouse server
    Clickhouse {
        #[arg(long)]
        port: u16,
        #[arg(long)]
        data: PathBuf,
        #[arg(long, env = "TRIBUTARY_LIBCHDB")]
        libchdb: Option<PathBuf>,
        #[arg(long)]
        readers_databases: String,
        #[arg(long)]
        readers_listen: Option<SocketAddr>,
    },
}

fn main() -> ExitCode {
    runtime::memory::keep_freed();
    let outcome = parse().and_then(run);
    match outcome {
        Ok(code) => code,
        Err(error) => {
            print_error(&error);
            ExitCode::FAILURE
        }
    }
}

#[allow(clippy::print_stderr, reason = "the program's last word to its user")]
fn print_error(error: &anyhow::Error) {
    eprintln!("tributary: {error:#}");
}

/// Reads the command line, with the settings file's values as defaults.
fn parse() -> anyhow::Result<Cli> {
    let matches = Cli::command().get_matches();
    let matches = match matches.get_one::<PathBuf>("config") {
        None => matches,
        Some(path) => sources::with_file(Cli::command(), path)?.get_matches(),
    };
    Ok(Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit()))
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let settings = cli.settings;
    settings.check()?;
    runtime::telemetry::init_logs(&settings.log, settings.log_format()).map_err(anyhow::Error::msg)?;
    let variables = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for variable in sources::misspelt(&Cli::command(), variables) {
        tracing::warn!(variable, "is no setting, and changes nothing; `tributary --help` lists them");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    Bounded(Some(runtime)).block_on(dispatch(settings, cli.command))
}

/// A runtime whose end does not wait for ever for threads that work on: after a
/// panic nobody has told them to stop.
struct Bounded(Option<tokio::runtime::Runtime>);

impl Bounded {
    fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.0.as_ref().expect("it is taken only at the end").block_on(future)
    }
}

impl Drop for Bounded {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_timeout(Duration::from_secs(10));
        }
    }
}

async fn dispatch(settings: Settings, command: Command) -> anyhow::Result<ExitCode> {
    match command {
        // The broker handles its signals itself.
        Command::Engine(EngineCommand::Kafka { port, data, in_memory }) => {
            let storage = if in_memory { Storage::Memory } else { Storage::Sqlite(data) };
            engines::kafka::run(&storage, port).await?;
        }
        Command::Engine(EngineCommand::Clickhouse {
            port,
            data: data_dir,
            libchdb: library,
            readers_databases,
            readers_listen,
        }) => {
            let library = library.unwrap_or_else(Settings::libchdb_default);
            let config = ClickHouseConfig { library, data_dir, port, readers_databases, readers_listen };
            engines::clickhouse::run(&config).await?;
        }
        Command::Up(args) => up::run(settings, args).await?,
        Command::Migrate => services::migrate(&settings).await?,
        Command::Replay(args) => replay::run(&settings, args).await?,
        Command::Reconcile(args) => return Ok(reconcile::run(&settings, &args).await),
        Command::Status(args) => return status::run(&settings, &args).await,
        Command::Explain(args) => explain::run(&settings, &args).await?,
        Command::Attribute(args) => attribute::run(&settings, &args).await?,
        Command::Ledger(command) => return ledger::run(&settings, command).await,
        Command::Ingest => {
            let stop = begin_service();
            let ingest = services::ingest(&settings, stop.clone()).await?;
            services::run_all(vec![("collector", ingest)], stop).await?;
        }
        Command::Process => {
            let stop = begin_service();
            let services = vec![
                ("metrics", services::metrics(&settings, stop.clone()).await?),
                ("attribution", services::attribution(&settings, stop.clone())?),
                ("settlement", services::settlement(&settings, stop.clone())?),
                ("wallets", services::wallets(&settings, stop.clone())?),
                ("partitions", services::partitions(&settings, stop.clone())?),
                ("reconcile", services::reconcile(&settings, stop.clone())?),
            ];
            services::run_all(services, stop).await?;
        }
        Command::Sink => {
            let stop = begin_service();
            let services = vec![
                ("metrics", services::metrics(&settings, stop.clone()).await?),
                ("event sink", services::event_sink(&settings, stop.clone())?),
                ("outcome sink", services::outcome_sink(&settings, stop.clone())?),
                ("roll-ups", services::rollups(&settings, stop.clone())?),
                ("retention", services::retention(&settings, stop.clone())?),
                ("leaderboard snapshots", services::snapshots(&settings, stop.clone())?),
                ("readings and names", services::states(&settings, stop.clone())?),
                ("social refresher", services::social_refresher(&settings, stop.clone())?),
                ("backlog", services::backlog(&settings, stop.clone())),
            ];
            services::run_all(services, stop).await?;
        }
        Command::Api => {
            let stop = begin_service();
            let api = services::api(&settings, stop.clone()).await?;
            services::run_all(vec![("API", api)], stop).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn begin_service() -> shutdown::CancellationToken {
    runtime::telemetry::init_metrics();
    shutdown::on_signals()
}
