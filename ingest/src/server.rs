//! Routes, start and stop.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use domain::event::{Client, Event};
use hyper::body::Incoming;
use ipnet::IpNet;
use runtime::producer::Publisher;
use runtime::shutdown::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tower::Service as _;
use tower_http::decompression::RequestDecompressionLayer;
use tower_http::timeout::RequestBodyTimeoutLayer;

use crate::agent::Agents;
use crate::caller::{CallerAddress, caller_address};
use crate::directory::{Directory, DirectoryError};
use crate::error::ApiError;
use crate::geo::{Geo, GeoError, GeoSettings};
use crate::intake::{browser, erasure, native, segment, webhook};
use crate::limits::{LimitSettings, Limits, admit};
use crate::links::Links;
use crate::listen::{self, ConnectionSettings};
use crate::outbox::{Outbox, OutboxSettings};
use crate::redirect;
use crate::seen::{SeenError, SeenIds};
use crate::spool::{Record, Spool, SpoolError, SpoolSettings};

/// A start waits at most this long for Kafka, and then goes on without it.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// How often changed files are looked for, and idle senders forgotten.
const TIDY_EVERY: Duration = Duration::from_secs(10);
/// A request's body must come in without a pause longer than this.
const BODY_WITHIN: Duration = Duration::from_secs(20);

static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// Most events are smaller, so that their room is asked for once.
const USUAL_EVENT_BYTES: usize = 1_024;

/// How the collector behaves.
#[derive(Clone, Debug)]
pub struct IngestSettings {
    /// The topic that events go to.
    pub events_topic: String,
    /// The topic for events that Kafka refuses.
    pub dead_letter_topic: String,
    /// Largest body, after decompression.
    pub max_body_bytes: usize,
    /// The spool.
    pub spool: SpoolSettings,
    /// Where ids that senders chose are remembered.
    pub seen_dir: PathBuf,
    /// How much one sender may ask for.
    pub limits: LimitSettings,
    /// How connections are treated.
    pub connections: ConnectionSettings,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// GeoIP files.
    pub geo: GeoSettings,
    /// Requests in progress get this long to end at a stop.
    pub drain_within: Duration,
}

/// What every request may use.
pub(crate) struct App {
    pub(crate) links: Links,
    pub(crate) agents: Agents,
    pub(crate) geo: Geo,
    pub(crate) settings: IngestSettings,
    pub(crate) limits: Limits,
    pub(crate) seen: SeenIds,
    pub(crate) outbox: Arc<Outbox>,
}

/// A collector that cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Postgres does not answer, or has no signing key.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The spool cannot be used.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// Remembered ids cannot be read.
    #[error(transparent)]
    Seen(#[from] SeenError),
    /// A GeoIP file cannot be used.
    #[error(transparent)]
    Geo(#[from] GeoError),
}

impl App {
    /// The salt of the day, unless the directory has to be asked and is away.
    pub(crate) async fn salt(&self, now_ms: i64) -> Option<Arc<[u8]>> {
        match self.links.daily_salt(now_ms).await {
            Ok(salt) => Some(salt),
            Err(error) => {
                tracing::warn!(%error, "there is no salt for addresses; nothing of them is kept");
                None
            }
        }
    }
}

/// An event, as it goes to Kafka.
pub(crate) fn record<T>(event: &Event<Client<T>>, headers: &HeaderMap) -> Record
where
    T: AsRef<str> + Default + PartialEq,
{
    let trace = headers.get(&TRACEPARENT).map(HeaderValue::as_bytes).filter(|trace| is_traceparent(trace));
    let mut payload = Vec::with_capacity(USUAL_EVENT_BYTES);
    event.write_json(&mut payload);
    let key = event.visitor.hex().to_vec();
    Record { key, trace: trace.unwrap_or_default().to_vec(), payload }
}

/// Whether it has the form of W3C's trace context: four groups of hex digits.
fn is_traceparent(text: &[u8]) -> bool {
    let groups = text.split(|byte| *byte == b'-').map(|group| {
        group.iter().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte)).then_some(group.len())
    });
    groups.eq([Some(2), Some(32), Some(16), Some(2)])
}

/// The collector, ready to serve.
pub struct Collector {
    app: Arc<App>,
}

impl Collector {
    /// A collector that publishes through `publisher`; what that one calls late
    /// goes to the spool.
    ///
    /// # Errors
    /// When the directory does not answer or has no key to sign with, or the
    /// spool or a GeoIP file cannot be used.
    pub async fn new(
        settings: IngestSettings,
        publisher: Publisher,
        directory: Arc<dyn Directory>,
    ) -> Result<Self, StartError> {
        let links = Links::new(directory).await?;
        let geo = Geo::open(&settings.geo)?;
        let seen = SeenIds::open(&settings.seen_dir, runtime::clock::now_ms())?;
        let spool = Spool::open(settings.spool.clone())?;
        let outbox_settings = OutboxSettings {
            events_topic: settings.events_topic.clone(),
            dead_letter_topic: settings.dead_letter_topic.clone(),
        };
        let (connecting, topic) = (publisher.clone(), settings.events_topic.clone());
        let connected = tokio::task::spawn_blocking(move || connecting.connect(&topic, CONNECT_WITHIN));
        if !connected.await.unwrap_or_default() {
            tracing::warn!("Kafka does not answer; events go to the spool until it does");
        }
        let outbox = Arc::new(Outbox::new(outbox_settings, publisher, spool));
        let app = App {
            links,
            agents: Agents::new(),
            geo,
            limits: Limits::new(settings.limits),
            settings,
            seen,
            outbox,
        };
        Ok(Self { app: Arc::new(app) })
    }

    /// Serves until `stop` is cancelled; then lets requests in progress end,
    /// and gives Kafka a while to take what it was sent and what is spooled.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(
        self,
        listener: tokio::net::TcpListener,
        stop: CancellationToken,
    ) -> std::io::Result<()> {
        let drain_within = self.app.settings.drain_within;
        let outbox = Arc::clone(&self.app.outbox);
        let beside = {
            let (app, outbox, stop) = (Arc::clone(&self.app), Arc::clone(&outbox), stop.clone());
            AbortOnDropHandle::new(tokio::spawn(async move {
                tokio::join!(outbox.drain(&stop), app.links.follow(&stop), tidy(&app, &stop));
            }))
        };
        listen::serve(listener, self.front(), self.app.settings.connections, &stop, drain_within).await?;
        beside.await.map_err(std::io::Error::other)?;
        outbox.close(drain_within).await;
        Ok(())
    }

    fn front(&self) -> Arc<Front> {
        Arc::new(Front { app: Arc::clone(&self.app), router: self.router() })
    }

    fn router(&self) -> Router {
        Router::new()
            .route("/v1/events", post(native::events).options(browser::preflight))
            .route("/v1/conversions", post(native::conversions))
            .route("/v1/sales", post(native::sales))
            .route("/v1/payments", post(native::payments))
            .route("/v1/refunds", post(native::refunds))
            .route("/v1/track", post(segment::track))
            .route("/v1/page", post(segment::page))
            .route("/v1/identify", post(segment::identify))
            .route("/v1/batch", post(segment::batch))
            .route("/v1/visitors/{id}", delete(erasure::erase))
            .route("/webhooks/stripe/{workspace}", post(webhook::stripe))
            .route("/webhooks/shopify/{workspace}", post(webhook::shopify))
            .layer(RequestDecompressionLayer::new())
            .layer(RequestBodyTimeoutLayer::new(BODY_WITHIN))
            .route("/{code}", get(redirect::follow))
            .route("/t.js", get(browser::sdk))
            .route("/p.gif", get(browser::pixel))
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/readyz", get(ready))
            .route("/metrics", get(show_metrics))
            .fallback(unknown_path)
            .method_not_allowed_fallback(wrong_method)
            .with_state(Arc::clone(&self.app))
    }
}

/// Where requests come in.
pub(crate) struct Front {
    app: Arc<App>,
    router: Router,
}

impl Front {
    /// Answers a request. One for a short address does not go through the
    /// router, whose boxed services took as long as everything else a click
    /// needs.
    // Not `async fn`, which would have room for the request twice.
    #[expect(clippy::manual_async_fn, reason = "see above")]
    pub(crate) fn answer(
        &self,
        peer: IpAddr,
        head: Parts,
        body: Incoming,
    ) -> impl Future<Output = Response> + Send {
        async move {
            let (method, uri, headers) = (&head.method, &head.uri, &head.headers);
            let caller = caller_address(peer, headers, &self.app.settings.trusted_proxies);
            let _admitted = match admit(&self.app.limits, caller, uri.path()) {
                Ok(admitted) => admitted,
                Err(error) => return error.into_response(),
            };
            if let Some(code) = redirect::code_of(method, uri.path()) {
                let asked = redirect::Request { caller, query: uri.query(), method, headers };
                let led = redirect::lead(&self.app, code, &asked).await;
                // Its memory is of use to the next one, while this one waits for Kafka.
                // Not so the body: one that is still on its way is read out at the end.
                drop(head);
                redirect::record_led(&self.app, &led).await;
                return redirect::answer(led);
            }
            // Aside: a click keeps no room for it.
            Box::pin(self.route(caller, hyper::Request::from_parts(head, body))).await
        }
    }

    async fn route(&self, caller: CallerAddress, request: hyper::Request<Incoming>) -> Response {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(caller);
        match self.router.clone().call(request).await {
            Ok(response) => in_our_form(response),
            Err(impossible) => match impossible {},
        }
    }
}

/// What the router's own layers refuse, told as we tell everything else.
fn in_our_form(response: Response) -> Response {
    let json = HeaderValue::from_static("application/json");
    if response.headers().get(header::CONTENT_TYPE) == Some(&json) {
        return response;
    }
    match response.status() {
        status @ StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            let message = "send the body as it is, or with Content-Encoding gzip or zstd";
            ApiError::new(status, "unsupported_encoding", message).into_response()
        }
        status @ StatusCode::BAD_REQUEST => {
            let message = "the address or its query cannot be read; what is escaped in it must be UTF-8";
            ApiError::new(status, "invalid_address", message).into_response()
        }
        _ => response,
    }
}

/// What has to be done now and then, until told to stop: changed GeoIP files
/// are read again, idle senders forgotten.
async fn tidy(app: &Arc<App>, stop: &CancellationToken) {
    let mut every = tokio::time::interval(TIDY_EVERY);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = every.tick() => {}
        }
        app.limits.forget_idle();
        let app = Arc::clone(app);
        if tokio::task::spawn_blocking(move || app.geo.refresh()).await.is_err() {
            tracing::error!("reading a GeoIP file panicked");
        }
    }
}

/// Ready as long as events can be made durable somewhere.
async fn ready(State(app): State<Arc<App>>) -> Response {
    if app.outbox.in_flight() == 0 && app.outbox.spool.is_empty() {
        return "ready\n".into_response();
    }
    // Something waits for Kafka; so the spool must be there if it waits long.
    match app.outbox.spool.append(&[]).await {
        Ok(()) => "ready\n".into_response(),
        Err(error) => ApiError::unavailable("spool_unusable", error.to_string()).into_response(),
    }
}

async fn show_metrics(State(app): State<Arc<App>>) -> String {
    let spool = &app.outbox.spool;
    metrics::gauge!("tributary_spool_events").set(spool.backlog() as f64);
    metrics::gauge!("tributary_spool_bytes").set(spool.bytes() as f64);
    metrics::gauge!("tributary_spool_age_seconds").set(spool.age().as_secs_f64());
    metrics::gauge!("tributary_producer_queue").set(app.outbox.in_flight() as f64);
    runtime::telemetry::render_metrics()
}

async fn unknown_path() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "unknown_path", "there is nothing at this path")
}

async fn wrong_method() -> ApiError {
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "wrong_method", "this path does not take this method")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_result<A, F>(_of: impl FnOnce(A) -> F) -> usize {
        size_of::<F>()
    }

    /// Each connection has one, thousands wait, and each is moved when it begins.
    #[test]
    fn who_waits_is_small() {
        let peer = IpAddr::from([127, 0, 0, 1]);
        type Asked = (&'static Front, Parts, Incoming);
        let answering = size_of_result(|(front, head, body): Asked| front.answer(peer, head, body));
        assert!(answering <= 1_024, "{answering} bytes");
    }

    #[test]
    fn only_trace_contexts_are_passed_on() {
        for (text, expected) in [
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", true),
            ("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", false),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7", false),
            ("", false),
            ("anything", false),
        ] {
            assert_eq!(is_traceparent(text.as_bytes()), expected, "{text}");
        }
    }
}
