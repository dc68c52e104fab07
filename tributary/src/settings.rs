//! Settings: flags, then environment (`TRIBUTARY_*`), then a TOML file. Every setting is
//! a flag below, and so in `--help`.

mod keys;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use domain::attribution::{MAX_WINDOW_MS, Policy};
use ipnet::IpNet;
use runtime::cluster::Cluster;
use runtime::producer::DEFAULT_LINGER_MS;
use runtime::telemetry::LogFormat;
use runtime::topics::{TopicSettings, Topics};

/// The engine library's place when nothing else is said; `make engines` puts it
/// there.
const LIBCHDB: &str = ".cache/tributary/engines/chdb-26.7.3-stable.1/libchdb.so";

/// Consumer groups' services.
pub(crate) const ATTRIBUTION: &str = "attribution";
pub(crate) const SETTLEMENT: &str = "settlement";
pub(crate) const EVENT_SINK: &str = "sink-events";

/// Settings that most commands share.
#[derive(Args, Clone, Debug)]
pub(crate) struct Settings {
    /// TOML file with settings; its keys are the names of these flags, with _ for -
    #[arg(long, global = true, env = "TRIBUTARY_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Directory for everything that is kept on this machine
    #[arg(long, global = true, env = "TRIBUTARY_DATA_DIR", default_value = ".tributary", value_name = "DIR")]
    pub(crate) data_dir: PathBuf,

    /// Kafka's bootstrap servers
    #[arg(
        long,
        global = true,
        env = "TRIBUTARY_BROKERS",
        default_value = "127.0.0.1:9092",
        value_name = "HOST:PORT,…"
    )]
    pub(crate) brokers: String,

    /// Prefix of the topics' names
    #[arg(long, global = true, env = "TRIBUTARY_TOPIC_PREFIX", default_value = "", value_name = "TEXT")]
    pub(crate) topic_prefix: String,

    /// Beginning of the consumer groups' names; services of one group share the work
    #[arg(long, global = true, env = "TRIBUTARY_GROUP", default_value = "tributary", value_name = "TEXT")]
    pub(crate) group: String,

    /// Partitions of a topic that has to be made; fixed for its life
    #[arg(long, global = true, env = "TRIBUTARY_PARTITIONS", default_value_t = 4, value_name = "N")]
    pub(crate) partitions: i32,

    /// Copies of each partition of a topic that has to be made
    #[arg(long, global = true, env = "TRIBUTARY_REPLICATION", default_value_t = 1, value_name = "N")]
    pub(crate) replication: i32,

    /// How long a topic that has to be made keeps events; must cover the longest attribution window
    #[arg(long, global = true, env = "TRIBUTARY_RETENTION_DAYS", default_value_t = 100, value_name = "DAYS")]
    pub(crate) retention_days: u32,

    /// Postgres, as the role the services work with
    #[arg(
        long,
        global = true,
        env = "TRIBUTARY_DATABASE_URL",
        hide_env_values = true,
        default_value = "postgres://tributary_app@127.0.0.1:5433/tributary",
        value_name = "URL"
    )]
    pub(crate) database_url: String,

    /// Postgres, as the role that owns the tables and may migrate them
    #[arg(
        long,
        global = true,
        env = "TRIBUTARY_OWNER_DATABASE_URL",
        hide_env_values = true,
        default_value = "postgres://tributary@127.0.0.1:5433/tributary",
        value_name = "URL"
    )]
    pub(crate) owner_database_url: String,

    /// ClickHouse's HTTP interface
    #[arg(
        long,
        global = true,
        env = "TRIBUTARY_CLICKHOUSE_URL",
        default_value = "http://127.0.0.1:8123",
        value_name = "URL"
    )]
    pub(crate) clickhouse_url: String,

    /// Database within ClickHouse
    #[arg(
        long,
        global = true,
        env = "TRIBUTARY_CLICKHOUSE_DATABASE",
        default_value = "tributary",
        value_name = "NAME"
    )]
    pub(crate) clickhouse_database: String,

    /// The cluster of ClickHouse servers to make the tables on, as `remote_servers` names it:
    /// replicated within each shard, a workspace's rows on one shard. `migrate` and `up` heed it
    #[arg(
        long,
        global = true,
        env = "TRIBUTARY_CLICKHOUSE_CLUSTER",
        hide_default_value = true,
        default_value = "",
        value_name = "NAME"
    )]
    pub(crate) clickhouse_cluster: String,

    /// ClickHouse's user, who makes the tables, and workspaces' own users
    #[arg(
        long,
        global = true,
        env = "TRIBUTARY_CLICKHOUSE_USER",
        default_value = "default",
        value_name = "NAME"
    )]
    pub(crate) clickhouse_user: String,

    /// That user's password
    #[arg(
        long,
        global = true,
        env = "TRIBUTARY_CLICKHOUSE_PASSWORD",
        hide_env_values = true,
        hide_default_value = true,
        default_value = "",
        value_name = "PASSWORD"
    )]
    pub(crate) clickhouse_password: String,

    /// Where the collector listens
    #[arg(
        long,
        global = true,
        env = "TRIBUTARY_LISTEN",
        default_value = "127.0.0.1:8080",
        value_name = "ADDR:PORT"
    )]
    pub(crate) listen: SocketAddr,

    /// Where the control and report API listens
    #[arg(
        long,
        global = true,
        env = "TRIBUTARY_API_LISTEN",
        default_value = "127.0.0.1:8090",
        value_name = "ADDR:PORT"
    )]
    pub(crate) api_listen: SocketAddr,

    /// Where `process` and `sink` show their metrics; nowhere, if not given. The collector
    /// and the API show theirs at /metrics
    #[arg(long, global = true, env = "TRIBUTARY_METRICS_LISTEN", value_name = "ADDR:PORT")]
    pub(crate) metrics_listen: Option<SocketAddr>,

    /// Key for the control API; `up` makes one in <data-dir>/admin.key
    #[arg(long, global = true, env = "TRIBUTARY_ADMIN_KEY", hide_env_values = true, value_name = "KEY")]
    pub(crate) admin_key: Option<String>,

    /// What platforms' tokens are sealed with: 64 hexadecimal digits, the same for `api` and
    /// `sink`; `up` makes one in <data-dir>/secrets.key
    #[arg(long, global = true, env = "TRIBUTARY_SECRETS_KEY", hide_env_values = true, value_name = "KEY")]
    pub(crate) secrets_key: Option<String>,

    /// Where YouTube's Data API is
    #[arg(
        long,
        global = true,
        env = "TRIBUTARY_YOUTUBE_URL",
        default_value = "https://www.googleapis.com",
        value_name = "URL"
    )]
    pub(crate) youtube_url: String,

    /// Key for it, for accounts without a token of their own
    #[arg(long, global = true, env = "TRIBUTARY_YOUTUBE_KEY", hide_env_values = true, value_name = "KEY")]
    pub(crate) youtube_key: Option<String>,

    /// Where Instagram's Graph API is, with its version
    #[arg(
        long,
        global = true,
        env = "TRIBUTARY_INSTAGRAM_URL",
        default_value = "https://graph.facebook.com/v23.0",
        value_name = "URL"
    )]
    pub(crate) instagram_url: String,

    /// MaxMind or DB-IP file (.mmdb) for the country and city of addresses
    #[arg(long, global = true, env = "TRIBUTARY_GEOIP", value_name = "FILE")]
    pub(crate) geoip: Option<PathBuf>,

    /// MaxMind or DB-IP file (.mmdb) for the networks of addresses; hosting providers' are no people's
    #[arg(long, global = true, env = "TRIBUTARY_GEOIP_ASN", value_name = "FILE")]
    pub(crate) geoip_asn: Option<PathBuf>,

    /// Proxies in front of the collector, whose X-Forwarded-For is believed
    #[arg(
        long,
        global = true,
        env = "TRIBUTARY_TRUSTED_PROXIES",
        value_delimiter = ',',
        value_parser = network,
        value_name = "NETWORK,…"
    )]
    pub(crate) trusted_proxies: Vec<IpNet>,

    /// Events a second that one key may send; 0: as many as it likes
    #[arg(long, global = true, env = "TRIBUTARY_KEY_RATE", default_value_t = 0, value_name = "N")]
    pub(crate) key_rate: u32,

    /// Requests a second that one address may send, this machine's own aside; 0: as many as it likes
    #[arg(long, global = true, env = "TRIBUTARY_ADDRESS_RATE", default_value_t = 200, value_name = "N")]
    pub(crate) address_rate: u32,

    /// Requests that the collector works on at a time; more are answered with 503
    #[arg(long, global = true, env = "TRIBUTARY_MAX_IN_FLIGHT", default_value_t = 4_096, value_name = "N")]
    pub(crate) max_in_flight: usize,

    /// Connections that the collector keeps at a time; more wait
    #[arg(
        long,
        global = true,
        env = "TRIBUTARY_MAX_CONNECTIONS",
        default_value_t = 20_000,
        value_name = "N"
    )]
    pub(crate) max_connections: usize,

    /// A request's head must reach the collector within this, and the next one on a kept connection
    #[arg(
        long,
        global = true,
        env = "TRIBUTARY_HEAD_WITHIN_MS",
        default_value_t = 30_000,
        value_name = "MS"
    )]
    pub(crate) head_within_ms: u64,

    /// Largest request body the collector takes, after decompression
    #[arg(long, global = true, env = "TRIBUTARY_MAX_BODY_BYTES", default_value_t = 4 << 20, value_name = "BYTES")]
    pub(crate) max_body_bytes: usize,

    /// An event waits this long for others to share its request to Kafka
    #[arg(long, global = true, env = "TRIBUTARY_LINGER_MS", default_value_t = DEFAULT_LINGER_MS, value_name = "MS")]
    pub(crate) linger_ms: u16,

    /// An event that Kafka has not acknowledged within this goes to the collector's spool
    #[arg(long, global = true, env = "TRIBUTARY_SPOOL_AFTER_MS", default_value_t = 250, value_name = "MS")]
    pub(crate) spool_after_ms: u64,

    /// The collector's spool; one process at a time (default: <data-dir>/spool)
    #[arg(long, global = true, env = "TRIBUTARY_SPOOL_DIR", value_name = "DIR")]
    pub(crate) spool_dir: Option<PathBuf>,

    /// The spool takes at most this much of the disk
    #[arg(long, global = true, env = "TRIBUTARY_SPOOL_MAX_BYTES", default_value_t = 1 << 30, value_name = "BYTES")]
    pub(crate) spool_max_bytes: u64,

    /// An event is held this long before it counts, so that others can come before it in time
    #[arg(long, global = true, env = "TRIBUTARY_HOLD_MS", default_value_t = 1_000, value_name = "MS")]
    pub(crate) hold_ms: u32,

    /// An event that comes in later than this after its own time is recorded, and earns nothing
    #[arg(long, global = true, env = "TRIBUTARY_LATENESS_HOURS", default_value_t = 72, value_name = "HOURS")]
    pub(crate) lateness_hours: u32,

    /// A conversion or sale without a click waits for one this long
    #[arg(long, global = true, env = "TRIBUTARY_PARKING_HOURS", default_value_t = 72, value_name = "HOURS")]
    pub(crate) parking_hours: u32,

    /// Clicks on one link from one network in a minute of one partition that are no flood; 0: no limit
    #[arg(long, global = true, env = "TRIBUTARY_FLOOD_CLICKS", default_value_t = 0, value_name = "N")]
    pub(crate) flood_clicks: u32,

    /// Memory for what attribution remembers of visitors of late; all of it is on disk, too
    #[arg(long, global = true, env = "TRIBUTARY_STATE_MEMORY_MB", default_value_t = 256, value_name = "MB")]
    pub(crate) state_memory_mb: usize,

    /// Processors check the books this often; 0: never
    #[arg(
        long,
        global = true,
        env = "TRIBUTARY_RECONCILE_MINUTES",
        default_value_t = 60,
        value_name = "MINUTES"
    )]
    pub(crate) reconcile_minutes: u32,

    /// How often leaderboards are kept as they stand
    #[arg(
        long,
        global = true,
        env = "TRIBUTARY_SNAPSHOT_MINUTES",
        default_value_t = 60,
        value_name = "MINUTES",
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub(crate) snapshot_minutes: u32,

    /// The API keeps answers of reports that took longer than 100 ms this long; 0: asks anew each time
    #[arg(
        long,
        global = true,
        env = "TRIBUTARY_REPORT_CACHE_SECONDS",
        default_value_t = 2,
        value_name = "SECONDS",
        value_parser = clap::value_parser!(u32).range(..=60)
    )]
    pub(crate) report_cache_seconds: u32,

    /// Messages in one batch of a processor, rows in one insert of a sink
    #[arg(long, global = true, env = "TRIBUTARY_BATCH", default_value_t = 5_000, value_name = "N")]
    pub(crate) batch: usize,

    /// A message waits at most this long for its batch
    #[arg(long, global = true, env = "TRIBUTARY_BATCH_MS", default_value_t = 200, value_name = "MS")]
    pub(crate) batch_ms: u64,

    /// What is logged, for example info or warn,ingest=debug
    #[arg(
        long,
        global = true,
        env = "TRIBUTARY_LOG",
        default_value = "info,librdkafka=error,rdkafka=off,fjall=warn,lsm_tree=warn",
        value_name = "FILTER"
    )]
    pub(crate) log: String,

    /// How logs look
    #[arg(long, global = true, env = "TRIBUTARY_LOG_FORMAT", default_value = "text", value_name = "FORMAT")]
    pub(crate) log_format: LogFormatArg,
}

/// How logs look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormatArg {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

const HOUR_MS: i64 = 60 * 60 * 1_000;
const DAY_MS: i64 = 24 * HOUR_MS;

impl Settings {
    /// Attribution's bounds.
    pub(crate) fn policy(&self) -> Policy {
        Policy {
            hold_ms: self.hold_ms.into(),
            lateness_ms: i64::from(self.lateness_hours) * HOUR_MS,
            parking_ms: i64::from(self.parking_hours) * HOUR_MS,
            flood_clicks: self.flood_clicks,
        }
    }

    /// Refuses what cannot be, before anything is started.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let count = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
        for (flag, value) in [
            ("--partitions", i64::from(self.partitions)),
            ("--replication", i64::from(self.replication)),
            ("--batch", count(self.batch)),
            ("--max-in-flight", count(self.max_in_flight)),
            ("--max-connections", count(self.max_connections)),
            ("--max-body-bytes", count(self.max_body_bytes)),
            ("--head-within-ms", i64::try_from(self.head_within_ms).unwrap_or(i64::MAX)),
        ] {
            if value < 1 {
                bail!("{flag} is {value}; it must be at least 1");
            }
        }
        let Policy { hold_ms, lateness_ms, parking_ms, .. } = self.policy();
        if lateness_ms < hold_ms.max(1) {
            bail!("--lateness-hours is {}; it must cover --hold-ms, and be at least 1", self.lateness_hours);
        }
        let needed_ms = [hold_ms, lateness_ms, parking_ms].iter().sum::<i64>() + MAX_WINDOW_MS;
        let needed_days = (needed_ms + DAY_MS - 1) / DAY_MS;
        if i64::from(self.retention_days) < needed_days {
            bail!(
                "--retention-days is {}; it must cover the longest attribution window, {} days, and lateness \
                 and parking: {needed_days} days",
                self.retention_days,
                MAX_WINDOW_MS / DAY_MS
            );
        }
        self.cluster()?;
        for (flag, url) in
            [("--clickhouse-url", &self.clickhouse_url), ("--database-url", &self.database_url)]
        {
            url::Url::parse(url).with_context(|| format!("{flag} is {url:?}"))?;
        }
        Ok(())
    }

    /// The cluster of ClickHouse servers; none, where none is named, or an empty one, as a
    /// variable of docker-compose.yml is that nobody has set.
    pub(crate) fn cluster(&self) -> anyhow::Result<Option<Cluster>> {
        let name = Some(self.clickhouse_cluster.as_str()).filter(|name| !name.is_empty());
        name.map(str::parse).transpose().context("--clickhouse-cluster")
    }

    pub(crate) fn log_format(&self) -> LogFormat {
        match self.log_format {
            LogFormatArg::Text => LogFormat::Text,
            LogFormatArg::Json => LogFormat::Json,
        }
    }

    pub(crate) fn topics(&self) -> Topics {
        Topics::new(&self.topic_prefix)
    }

    pub(crate) fn topic_settings(&self) -> TopicSettings {
        TopicSettings {
            partitions: self.partitions,
            replication: self.replication,
            retention: Duration::from_secs(u64::from(self.retention_days) * 86_400),
        }
    }

    /// A consumer group's name; groups of different prefixes never meet.
    pub(crate) fn group(&self, service: &str) -> String {
        format!("{}{}-{service}", self.topic_prefix, self.group)
    }

    /// All of them.
    pub(crate) fn groups(&self) -> [String; 3] {
        [self.group(ATTRIBUTION), self.group(SETTLEMENT), self.group(EVENT_SINK)]
    }

    /// A client of the tables in ClickHouse.
    pub(crate) fn clickhouse(&self) -> sinks::Client {
        sinks::client(&self.clickhouse_url, &self.clickhouse_database)
            .with_user(&self.clickhouse_user)
            .with_password(&self.clickhouse_password)
    }

    pub(crate) fn libchdb_default() -> PathBuf {
        let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
        home.join(LIBCHDB)
    }
}

/// A network, or one address.
fn network(text: &str) -> Result<IpNet, String> {
    let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    network.map_err(|_| "must be an address or a network, such as 10.0.0.0/8".to_owned())
}
