//! Routes, start and stop.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use domain::event::Event;
use domain::token::SigningKey;
use runtime::KafkaError;
use runtime::producer::{Pending, Publisher};
use runtime::shutdown::CancellationToken;
use tower_http::decompression::RequestDecompressionLayer;

use crate::bots::BotDetector;
use crate::directory::{Directory, DirectoryError};
use crate::error::ApiError;
use crate::geo::GeoReader;
use crate::links::Links;
use crate::{intake, redirect};

/// How the collector behaves.
#[derive(Clone, Debug)]
pub struct IngestSettings {
    /// The topic that events go to.
    pub events_topic: String,
    /// Largest body, after decompression.
    pub max_body_bytes: usize,
    /// A caller waits at most this long for Kafka.
    pub ack_timeout: Duration,
    /// Requests in progress get this long to end at a stop.
    pub drain_within: Duration,
}

/// What every request may use.
pub(crate) struct App {
    pub(crate) links: Links,
    pub(crate) bots: BotDetector,
    pub(crate) geo: Option<GeoReader>,
    pub(crate) settings: IngestSettings,
    pub(crate) signing_keys: Vec<SigningKey>,
    publisher: Publisher,
}

/// A click or event that is not in Kafka, as far as is known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PublishError {
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    #[error("no acknowledgement within {0:?}")]
    Timeout(Duration),
}

impl App {
    pub(crate) fn signing_key(&self) -> &SigningKey {
        // Checked when the collector was made.
        &self.signing_keys[0]
    }

    fn send(&self, event: &Event) -> Result<Pending, KafkaError> {
        let payload = serde_json::to_vec(event).expect("events are JSON");
        let key = event.visitor.to_string();
        self.publisher.send(&self.settings.events_topic, key.as_bytes(), &payload)
    }

    /// Publishes an event and waits until Kafka has it.
    pub(crate) async fn publish(&self, event: &Event) -> Result<(), PublishError> {
        let started = Instant::now();
        let pending = self.send(event)?;
        let result = self.acknowledged(pending, started).await;
        metrics::histogram!("tributary_ingest_ack_seconds").record(started.elapsed().as_secs_f64());
        result
    }

    /// Publishes events together; one result for each.
    pub(crate) async fn publish_all(&self, events: &[&Event]) -> Vec<Result<(), PublishError>> {
        let started = Instant::now();
        let pending: Vec<Result<Pending, KafkaError>> = events.iter().map(|event| self.send(event)).collect();
        let mut results = Vec::with_capacity(pending.len());
        for pending in pending {
            results.push(match pending {
                Ok(pending) => self.acknowledged(pending, started).await,
                Err(error) => Err(error.into()),
            });
        }
        if let Some(error) = results.iter().find_map(|result| result.as_ref().err()) {
            tracing::error!(%error, "events were refused because Kafka did not take them");
        }
        metrics::histogram!("tributary_ingest_ack_seconds").record(started.elapsed().as_secs_f64());
        results
    }

    async fn acknowledged(&self, pending: Pending, started: Instant) -> Result<(), PublishError> {
        let limit = self.settings.ack_timeout;
        let left = limit.saturating_sub(started.elapsed());
        match tokio::time::timeout(left, pending.acknowledged()).await {
            Ok(result) => Ok(result?),
            Err(_elapsed) => Err(PublishError::Timeout(limit)),
        }
    }
}

/// The collector, ready to serve.
pub struct Collector {
    app: Arc<App>,
}

impl Collector {
    /// A collector that publishes through `publisher`.
    ///
    /// # Errors
    /// When the directory does not answer, or has no key to sign with.
    pub async fn new(
        settings: IngestSettings,
        publisher: Publisher,
        directory: Arc<dyn Directory>,
        geo: Option<GeoReader>,
    ) -> Result<Self, DirectoryError> {
        let signing_keys = directory.signing_keys().await?;
        if signing_keys.is_empty() {
            return Err(DirectoryError("there is no key to sign click tokens with".to_owned()));
        }
        let links = Links::new(directory);
        let app = App { links, bots: BotDetector::new(), geo, settings, signing_keys, publisher };
        Ok(Self { app: Arc::new(app) })
    }

    /// Serves until `stop` is cancelled; then lets requests in progress end,
    /// and waits for what is on its way to Kafka.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(
        self,
        listener: tokio::net::TcpListener,
        stop: CancellationToken,
    ) -> std::io::Result<()> {
        let drain_within = self.app.settings.drain_within;
        let publisher = self.app.publisher.clone();
        let server = axum::serve(listener, self.router().into_make_service_with_connect_info::<SocketAddr>())
            .with_graceful_shutdown(stop.clone().cancelled_owned());
        bounded(server.into_future(), stop, drain_within).await?;
        let flush = tokio::task::spawn_blocking(move || publisher.flush(drain_within));
        flush.await.map_err(std::io::Error::other)
    }

    fn router(&self) -> Router {
        Router::new()
            .route("/{code}", get(redirect::follow))
            .route("/v1/events", post(intake::events))
            .route("/v1/conversions", post(intake::conversions))
            .route("/v1/sales", post(intake::sales))
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/readyz", get(ready))
            .route("/metrics", get(|| async { runtime::telemetry::render_metrics() }))
            .fallback(unknown_path)
            .method_not_allowed_fallback(wrong_method)
            .layer(RequestDecompressionLayer::new())
            .with_state(Arc::clone(&self.app))
    }
}

/// Runs `server`; once `stop` is cancelled, for at most `within` longer.
async fn bounded(
    server: impl Future<Output = std::io::Result<()>>,
    stop: CancellationToken,
    within: Duration,
) -> std::io::Result<()> {
    let deadline = async {
        stop.cancelled().await;
        tokio::time::sleep(within).await;
    };
    tokio::select! {
        result = server => result,
        () = deadline => {
            tracing::warn!(?within, "requests still in progress were cut off");
            Ok(())
        }
    }
}

async fn ready(State(app): State<Arc<App>>) -> Response {
    // A queue that nears its bound is one that Kafka does not empty.
    let in_flight = app.publisher.in_flight();
    if in_flight > 100_000 {
        let message = format!("{in_flight} events wait for Kafka");
        return ApiError::unavailable("kafka_unavailable", message).into_response();
    }
    "ready\n".into_response()
}

async fn unknown_path() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "unknown_path", "there is nothing at this path")
}

async fn wrong_method() -> ApiError {
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "wrong_method", "this path does not take this method")
}
