//! Starts each service with its settings. A service is a future that ends when
//! it is told to stop, or with what stopped it.

use std::future::Future;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::routing::get;
use ingest::server::{Collector, IngestSettings};
use ingest::{ConnectionSettings, GeoSettings, LimitSettings, SpoolSettings};
use processors::attribution::AttributionSettings;
use processors::settlement::SettlementSettings;
use runtime::consumer::BatchLimits;
use runtime::producer::{ProducerSettings, Publisher};
use runtime::shutdown::CancellationToken;
use sinks::events::EventSinkSettings;
use sinks::outcomes::OutcomeSinkSettings;
use tokio::net::TcpListener;
use tokio::runtime::Handle;

use crate::directory::PostgresDirectory;
use crate::settings::{ATTRIBUTION, EVENT_SINK, SETTLEMENT, Settings};

/// A running service.
pub(crate) type Service = Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>;

/// How often the backlog is measured.
const BACKLOG_EVERY: Duration = Duration::from_secs(15);
/// Connections of one service to Postgres.
const POOL: u32 = 8;

/// Earnings are released at most this long after their hold has ended.
const RELEASE_EVERY: Duration = Duration::from_secs(10);

fn limits(settings: &Settings) -> BatchLimits {
    BatchLimits { max_messages: settings.batch, max_wait: Duration::from_millis(settings.batch_ms) }
}

fn publisher(settings: &Settings) -> anyhow::Result<Publisher> {
    Ok(Publisher::new(&settings.brokers, ProducerSettings::default())?)
}

/// The collector's client never gives a message up: what is late is in the
/// spool as well, and one that was given up could be overtaken by a later one.
fn collector_publisher(settings: &Settings) -> anyhow::Result<Publisher> {
    let linger = Duration::from_millis(settings.linger_ms.into());
    let late_after = Some(Duration::from_millis(settings.spool_after_ms));
    Ok(Publisher::new(&settings.brokers, ProducerSettings { linger, message_timeout: None, late_after })?)
}

async fn listen(address: std::net::SocketAddr, what: &str, flag: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("{what} cannot listen on {address}; choose another with {flag}"))
}

/// The collector.
pub(crate) async fn ingest(settings: &Settings, stop: CancellationToken) -> anyhow::Result<Service> {
    let pool = store::connect_lazy(&settings.database_url, POOL)?;
    let ingest_settings = IngestSettings {
        events_topic: settings.topics().events,
        dead_letter_topic: settings.topics().dead_letter,
        max_body_bytes: settings.max_body_bytes,
        spool: SpoolSettings {
            dir: settings.spool_dir.clone().unwrap_or_else(|| settings.data_dir.join("spool")),
            max_bytes: settings.spool_max_bytes,
        },
        seen_dir: settings.data_dir.join("seen-ids"),
        limits: LimitSettings {
            key_events_per_second: NonZeroU32::new(settings.key_rate),
            address_requests_per_second: NonZeroU32::new(settings.address_rate),
            max_in_flight: settings.max_in_flight,
        },
        connections: ConnectionSettings {
            max_connections: settings.max_connections,
            head_within: Duration::from_millis(settings.head_within_ms),
        },
        trusted_proxies: settings.trusted_proxies.clone(),
        geo: GeoSettings { places: settings.geoip.clone(), networks: settings.geoip_asn.clone() },
        drain_within: Duration::from_secs(10),
    };
    let directory = Arc::new(PostgresDirectory(pool));
    let publisher = collector_publisher(settings)?;
    let collector =
        Collector::new(ingest_settings, publisher, directory).await.context("the collector cannot start")?;
    let listener = listen(settings.listen, "the collector", "--listen").await?;
    tracing::info!(address = %settings.listen, "collector listens");
    Ok(Box::pin(async move { Ok(collector.serve(listener, stop).await?) }))
}

/// Attribution.
pub(crate) fn attribution(settings: &Settings, stop: CancellationToken) -> anyhow::Result<Service> {
    let pool = store::connect_lazy(&settings.database_url, POOL)?;
    let publisher = publisher(settings)?;
    let settings = AttributionSettings {
        brokers: settings.brokers.clone(),
        group: settings.group(ATTRIBUTION),
        topics: settings.topics(),
        state_dir: settings.data_dir.join("attribution"),
        memory_bytes: settings.state_memory_mb.saturating_mul(1 << 20),
        batch: limits(settings),
        policy: settings.policy(),
    };
    let handle = Handle::current();
    Ok(on_thread(move || Ok(processors::attribution::run(settings, pool, publisher, handle, stop)?)))
}

/// Settlement.
pub(crate) fn settlement(settings: &Settings, stop: CancellationToken) -> anyhow::Result<Service> {
    let pool = store::connect_lazy(&settings.database_url, POOL)?;
    let publisher = publisher(settings)?;
    let settings = SettlementSettings {
        brokers: settings.brokers.clone(),
        group: settings.group(SETTLEMENT),
        topics: settings.topics(),
        batch: limits(settings),
    };
    let handle = Handle::current();
    Ok(on_thread(move || Ok(processors::settlement::run(settings, pool, publisher, handle, stop)?)))
}

/// Ends the holds on creators' earnings.
pub(crate) fn wallets(settings: &Settings, stop: CancellationToken) -> anyhow::Result<Service> {
    let pool = store::connect_lazy(&settings.database_url, POOL)?;
    Ok(Box::pin(async move {
        processors::wallets::run(pool, RELEASE_EVERY, stop).await;
        Ok(())
    }))
}

/// Makes the ledger's months.
pub(crate) fn partitions(settings: &Settings, stop: CancellationToken) -> anyhow::Result<Service> {
    let pool = store::connect_lazy(&settings.database_url, 1)?;
    Ok(Box::pin(async move {
        processors::partitions::run(pool, stop).await;
        Ok(())
    }))
}

/// Checks the books now and then.
pub(crate) fn reconcile(settings: &Settings, stop: CancellationToken) -> anyhow::Result<Service> {
    let pool = store::connect_lazy(&settings.database_url, 1)?;
    let every = Duration::from_secs(u64::from(settings.reconcile_minutes) * 60);
    Ok(Box::pin(async move {
        if every.is_zero() {
            stop.cancelled().await;
        } else {
            processors::reconcile::run(pool, every, stop).await;
        }
        Ok(())
    }))
}

/// The loader of events.
pub(crate) fn event_sink(settings: &Settings, stop: CancellationToken) -> anyhow::Result<Service> {
    let pool = store::connect_lazy(&settings.database_url, POOL)?;
    let client = settings.clickhouse();
    let settings = EventSinkSettings {
        brokers: settings.brokers.clone(),
        group: settings.group(EVENT_SINK),
        topic: settings.topics().events,
        max_rows: settings.batch.max(20_000),
        max_age: Duration::from_millis(settings.batch_ms * 2),
    };
    let handle = Handle::current();
    Ok(on_thread(move || Ok(sinks::events::run(settings, client, pool, handle, stop)?)))
}

/// The loader of outcomes.
pub(crate) fn outcome_sink(settings: &Settings, stop: CancellationToken) -> anyhow::Result<Service> {
    let pool = store::connect_lazy(&settings.database_url, POOL)?;
    let client = settings.clickhouse();
    let settings = OutcomeSinkSettings {
        topic: settings.topics().credits,
        max_rows: settings.batch.max(20_000),
        every: Duration::from_millis(settings.batch_ms * 2),
    };
    Ok(Box::pin(async move {
        sinks::outcomes::run(settings, client, pool, stop).await;
        Ok(())
    }))
}

/// Hours rolled up once they are over.
pub(crate) fn rollups(settings: &Settings, stop: CancellationToken) -> anyhow::Result<Service> {
    let pool = store::connect_lazy(&settings.database_url, POOL)?;
    let client = settings.clickhouse();
    Ok(Box::pin(async move {
        sinks::rollups::run(client, pool, stop).await;
        Ok(())
    }))
}

/// Events that workspaces do not keep any longer, deleted.
pub(crate) fn retention(settings: &Settings, stop: CancellationToken) -> anyhow::Result<Service> {
    let pool = store::connect_lazy(&settings.database_url, 1)?;
    let client = settings.clickhouse();
    Ok(Box::pin(async move {
        sinks::retention::run(client, pool, stop).await;
        Ok(())
    }))
}

/// Leaderboards as they stand, kept on schedule.
pub(crate) fn snapshots(settings: &Settings, stop: CancellationToken) -> anyhow::Result<Service> {
    let pool = store::connect_lazy(&settings.database_url, POOL)?;
    let client = settings.clickhouse();
    let every = Duration::from_secs(60 * u64::from(settings.snapshot_minutes));
    Ok(Box::pin(async move {
        sinks::snapshots::run(every, client, pool, stop).await;
        Ok(())
    }))
}

/// What waits in Postgres into ClickHouse: readings of social accounts, and names.
pub(crate) fn states(settings: &Settings, stop: CancellationToken) -> anyhow::Result<Service> {
    let pool = store::connect_lazy(&settings.database_url, 1)?;
    let client = settings.clickhouse();
    Ok(Box::pin(async move {
        sinks::states::run(client, pool, stop).await;
        Ok(())
    }))
}

/// Fetches social accounts that are due.
pub(crate) fn social_refresher(settings: &Settings, stop: CancellationToken) -> anyhow::Result<Service> {
    let pool = store::connect_lazy(&settings.database_url, 2)?;
    let fetch = sinks::social::FetchSettings {
        youtube_url: settings.youtube_url.clone(),
        youtube_key: settings.youtube_key.clone(),
        instagram_url: settings.instagram_url.clone(),
    };
    let fetcher = sinks::social::Fetcher::new(fetch, settings.secrets_key()?)?;
    Ok(Box::pin(async move {
        sinks::social::refresh::run(fetcher, pool, stop).await;
        Ok(())
    }))
}

/// The control and report API.
pub(crate) async fn api(settings: &Settings, stop: CancellationToken) -> anyhow::Result<Service> {
    let pool = store::connect_lazy(&settings.database_url, POOL)?;
    let client = settings.clickhouse();
    let publisher = publisher(settings)?;
    let api_settings = api::server::ApiSettings {
        admin_key_hash: api::hash_key(&settings.admin_key()?),
        credits_topic: settings.topics().credits,
        views_prefix: api::views_prefix(&settings.clickhouse_database),
        secrets_key: settings.secrets_key()?.map(Arc::new),
        answers_kept_for: Duration::from_secs(settings.report_cache_seconds.into()),
    };
    let listener = listen(settings.api_listen, "the API", "--api-listen").await?;
    tracing::info!(address = %settings.api_listen, "API listens");
    Ok(Box::pin(async move {
        Ok(api::server::serve(api_settings, pool, client, publisher, listener, stop).await?)
    }))
}

/// The metrics of this process over HTTP, for those that serve nothing else.
pub(crate) async fn metrics(settings: &Settings, stop: CancellationToken) -> anyhow::Result<Service> {
    let Some(address) = settings.metrics_listen else { return Ok(Box::pin(async { Ok(()) })) };
    let listener = listen(address, "metrics", "--metrics-listen").await?;
    let router = axum::Router::new()
        .route("/metrics", get(|| async { runtime::telemetry::render_metrics() }))
        .route("/healthz", get(|| async { "ok" }));
    Ok(Box::pin(async move {
        Ok(axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await?)
    }))
}

/// How far every service is behind, as gauges.
pub(crate) fn backlog(settings: &Settings, stop: CancellationToken) -> Service {
    let settings = settings.clone();
    Box::pin(async move {
        while !stop.is_cancelled() {
            match crate::backlog::measure(&settings).await {
                Ok(backlog) => backlog.record(),
                Err(error) => tracing::warn!(error = %format!("{error:#}"), "cannot tell the backlog"),
            }
            tokio::select! {
                () = tokio::time::sleep(BACKLOG_EVERY) => {}
                () = stop.cancelled() => {}
            }
        }
        Ok(())
    })
}

/// Work that blocks, as a future.
fn on_thread(work: impl FnOnce() -> anyhow::Result<()> + Send + 'static) -> Service {
    let running = tokio::task::spawn_blocking(work);
    Box::pin(async move { running.await.context("a service panicked")? })
}

/// Runs services until one fails or all have ended. On a failure the others
/// are told to stop, and waited for.
pub(crate) async fn run_all(
    services: Vec<(&'static str, Service)>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut running = tokio::task::JoinSet::new();
    for (name, service) in services {
        running.spawn(async move { (name, service.await) });
    }
    let mut first_failure = Ok(());
    while let Some(ended) = running.join_next().await {
        let (name, result) = ended.context("a service panicked")?;
        let result = result.with_context(|| format!("{name} failed"));
        if result.is_err() {
            stop.cancel();
        }
        first_failure = first_failure.and(result);
    }
    first_failure
}

/// Makes Postgres, ClickHouse and Kafka ready for the services.
pub(crate) async fn migrate(settings: &Settings) -> anyhow::Result<()> {
    let owner = store::connect(&settings.owner_database_url, 2).await.context("with --owner-database-url")?;
    store::migrate::migrate(&owner).await?;
    store::links::ensure_signing_key(&owner, &runtime::random::bytes::<32>()).await?;
    let (database, cluster) = (&settings.clickhouse_database, settings.cluster()?);
    sinks::schema::migrate(&owner, &settings.clickhouse(), database, cluster.as_ref())
        .await
        .with_context(|| format!("ClickHouse at {}", settings.clickhouse_url))?;
    let prefix = api::views_prefix(&settings.clickhouse_database);
    let workspaces = store::control::list_workspaces(&owner).await?;
    api::renew_views(&settings.clickhouse(), &prefix, &workspaces).await.context("workspaces' views")?;
    runtime::topics::ensure(&settings.brokers, &settings.topics(), settings.topic_settings()).await?;
    Ok(())
}
