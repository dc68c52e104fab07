//! `/v1/events`, `/v1/conversions`, `/v1/sales`: one event, an array or lines
//! of them; one result per event.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use domain::event::Event;
use domain::ids::EventId;
use domain::native::{Intake, NativeEvent};
use domain::refusal::Refusal;
use domain::token::SigningKey;
use futures_util::StreamExt as _;
use runtime::clock::now_ms;
use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::caller::{Facts, authenticate, client, client_address, key_of, needs_salt, text_header};
use crate::error::ApiError;
use crate::links::Tenant;
use crate::outbox::NotRecorded;
use crate::server::{App, record};
use crate::spool::Record;

/// Events in one request.
const MAX_BATCH: usize = 1_000;
/// Of a body that is too large, this much more is read and thrown away.
const MAX_DISCARDED_BYTES: usize = 16 << 20;
/// One event, as JSON.
const MAX_EVENT_BYTES: usize = 65_536;

pub(crate) async fn events(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    take(&app, peer, &headers, body, None).await
}

pub(crate) async fn conversions(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    take(&app, peer, &headers, body, Some("conversion")).await
}

pub(crate) async fn sales(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    take(&app, peer, &headers, body, Some("sale")).await
}

/// What became of one event of a request.
#[derive(Serialize)]
struct EventResult {
    index: usize,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<EventId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

#[derive(Serialize)]
struct Results {
    accepted: usize,
    results: Vec<EventResult>,
}

async fn take(
    app: &App,
    peer: SocketAddr,
    headers: &HeaderMap,
    body: Body,
    kind: Option<&'static str>,
) -> Result<Response, ApiError> {
    let tenant = authenticate(&app.links, key_of(headers).as_deref()).await?;
    let body = read_body(body, app.settings.max_body_bytes).await?;
    let (pieces, is_batch) = split(&body)?;
    if pieces.len() > MAX_BATCH {
        let message = format!("{} events in one request; at most {MAX_BATCH}", pieces.len());
        return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "batch_too_large", message));
    }
    let idempotency_key = headers.get("idempotency-key").and_then(|value| value.to_str().ok());
    if idempotency_key.is_some() && is_batch {
        let message = "Idempotency-Key names one event; give each event of a batch its own id";
        return Err(ApiError::new(StatusCode::BAD_REQUEST, "idempotency_key_on_batch", message));
    }
    let now_ms = now_ms();
    let salt = match needs_salt(&tenant.privacy) {
        true => app.salt(now_ms).await,
        false => None,
    };
    let address = client_address(peer.ip(), headers, &app.settings.trusted_proxies);
    let keys = app.links.signing_keys();
    let caller = Caller {
        tenant,
        address,
        headers,
        kind,
        idempotency_key,
        now_ms,
        salt: salt.as_deref(),
        keys: &keys,
    };
    let read: Vec<Result<Event, Refusal>> = pieces.iter().map(|piece| caller.read(app, piece)).collect();
    if let ([Err(refusal)], false) = (&read[..], is_batch) {
        return Err(refusal.clone().into());
    }
    Ok(publish(app, headers, read).await)
}

/// Publishes what can be, and answers for each.
async fn publish(app: &App, headers: &HeaderMap, read: Vec<Result<Event, Refusal>>) -> Response {
    let records: Vec<Record> = read.iter().flatten().map(|event| record(event, headers)).collect();
    let mut recorded = app.outbox.record_all(&records).await.into_iter();
    let mut unavailable = false;
    let mut results = Vec::with_capacity(read.len());
    for (index, event) in read.iter().enumerate() {
        let result = |status, reason, message| EventResult {
            index,
            status,
            event_id: event.as_ref().ok().map(|event| event.id),
            reason,
            message,
        };
        let result = match event {
            Err(refusal) => result("invalid", Some(refusal.code()), Some(refusal.to_string())),
            Ok(_) => match recorded.next().expect("one result for one event") {
                Ok(()) => result("accepted", None, None),
                Err(NotRecorded::Refused(message)) => {
                    result("invalid", Some("refused_by_kafka"), Some(message))
                }
                Err(NotRecorded::Spool(error)) => {
                    unavailable = true;
                    let message = format!(
                        "not recorded: Kafka does not answer, and {error}; send it again, with the same id"
                    );
                    result("unavailable", Some("not_durable"), Some(message))
                }
            },
        };
        let reason = result.reason.unwrap_or("none");
        metrics::counter!("tributary_ingest_events_total", "status" => result.status, "reason" => reason)
            .increment(1);
        results.push(result);
    }
    let accepted = results.iter().filter(|result| result.status == "accepted").count();
    let none_accepted = accepted == 0 && !results.is_empty();
    let body = Json(Results { accepted, results });
    match (unavailable, none_accepted) {
        (true, _) => (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "1")], body).into_response(),
        (false, true) => (StatusCode::BAD_REQUEST, body).into_response(),
        (false, false) => body.into_response(),
    }
}

/// The whole body, after decompression, if it is no larger than `limit`. What
/// is larger is still read for a while: a client that is cut off while it sends
/// never sees the answer.
async fn read_body(body: Body, limit: usize) -> Result<Bytes, ApiError> {
    let mut stream = body.into_data_stream();
    let mut whole = BytesMut::new();
    let mut size = 0;
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(|error| {
            ApiError::new(
                StatusCode::BAD_REQUEST,
                "unreadable_body",
                format!("the body cannot be read: {error}"),
            )
        })?;
        size += piece.len();
        if size <= limit {
            whole.extend_from_slice(&piece);
        } else if size > limit + MAX_DISCARDED_BYTES {
            break;
        }
    }
    if size > limit {
        let message = format!("the body is larger than {limit} bytes");
        return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message));
    }
    Ok(whole.freeze())
}

/// The events of a body: one object, an array of them, or one on each line.
/// The flag says whether it is a batch.
fn split(body: &[u8]) -> Result<(Vec<&RawValue>, bool), ApiError> {
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    match first {
        None => Err(ApiError::new(StatusCode::BAD_REQUEST, "empty_body", "the body is empty; send JSON")),
        Some(b'[') => {
            let events = serde_json::from_slice(body).map_err(Refusal::from)?;
            Ok((events, true))
        }
        Some(_) => {
            let mut events = Vec::new();
            for event in serde_json::Deserializer::from_slice(body).into_iter::<&RawValue>() {
                events.push(event.map_err(Refusal::from)?);
            }
            let is_batch = events.len() > 1;
            Ok((events, is_batch))
        }
    }
}

/// What the events of a request have in common.
struct Caller<'a> {
    tenant: Tenant,
    address: IpAddr,
    headers: &'a HeaderMap,
    kind: Option<&'static str>,
    idempotency_key: Option<&'a str>,
    now_ms: i64,
    salt: Option<&'a [u8]>,
    keys: &'a [SigningKey],
}

impl Caller<'_> {
    fn read(&self, app: &App, json: &RawValue) -> Result<Event, Refusal> {
        if json.get().len() > MAX_EVENT_BYTES {
            return Err(Refusal::TooLarge { field: "the event", limit: MAX_EVENT_BYTES });
        }
        let mut native = NativeEvent::read(json.get().as_bytes())?;
        if let Some(kind) = self.kind {
            if native.kind.is_empty() {
                kind.clone_into(&mut native.kind);
            } else if native.kind != kind {
                let message = format!("is {:?}, but this address takes only {kind}", native.kind);
                return Err(Refusal::Invalid { field: "type", message });
            }
        }
        if native.id.is_none() {
            native.id = self.idempotency_key.map(ToOwned::to_owned);
        }
        // A server speaks for a client; the client may also speak for itself.
        let stated = native.user_agent.take();
        let user_agent = stated.or_else(|| text_header(self.headers, header::USER_AGENT));
        let address = match native.ip.take() {
            Some(ip) => ip.parse::<IpAddr>().map_err(|_unreadable| Refusal::Invalid {
                field: "ip",
                message: "is no IP address".to_owned(),
            })?,
            None => self.address,
        };
        let referrer = native.referrer.take();
        let agent = app.agents.read(user_agent.as_deref());
        // What a server reports was done by somebody; only what a browser
        // sends is judged by its user agent.
        let judged = matches!(native.kind.as_str(), "page" | "track");
        let bot = judged.then_some(agent.bot).flatten();
        let intake = Intake {
            workspace: self.tenant.workspace,
            now_ms: self.now_ms,
            fresh_id: EventId(Uuid::now_v7()),
            keys: self.keys,
        };
        let mut event = native.accept(&intake)?;
        let place = app.geo.place(address);
        let facts = Facts { address: Some(address), place, user_agent, agent: &agent, referrer };
        event.client = client(facts, &self.tenant.privacy, false, self.salt);
        event.bot = bot;
        Ok(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(body: &str) -> Result<(usize, bool), &'static str> {
        split(body.as_bytes()).map(|(events, batch)| (events.len(), batch)).map_err(|error| error.reason)
    }

    #[test]
    fn bodies_are_split() {
        for (body, expected) in [
            (r#"{"a":1}"#, Ok((1, false))),
            (r#"[{"a":1},{"b":2}]"#, Ok((2, true))),
            (r#" [{"a":1}]"#, Ok((1, true))),
            ("[]", Ok((0, true))),
            ("{\"a\":1}\n{\"b\":2}\n\n{\"c\":3}\n", Ok((3, true))),
            ("", Err("empty_body")),
            (" \n", Err("empty_body")),
            ("{", Err("malformed_json")),
            ("[{]", Err("malformed_json")),
            ("{\"a\":1}\n{", Err("malformed_json")),
        ] {
            assert_eq!(shape(body), expected, "{body}");
        }
    }
}
