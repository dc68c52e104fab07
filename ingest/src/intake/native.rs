//! `/v1/events`, `/v1/conversions`, `/v1/sales`, `/v1/payments`, `/v1/refunds`:
//! one event, an array or lines of them; one result per event.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use domain::native::NativeEvent;
use domain::refusal::Refusal;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::caller::{CallerAddress, key_of};
use crate::error::ApiError;
use crate::intake::body::{read_body, split};
use crate::intake::browser::allow_origins;
use crate::intake::sender::Sender;
use crate::intake::{EventResult, ID_CLASH, NotTaken, Status, Taken, answer_with, record_taken, status_of};
use crate::server::App;

/// Events in one request.
pub(crate) const MAX_BATCH: usize = 1_000;
/// One event, as JSON.
pub(crate) const MAX_EVENT_BYTES: usize = 65_536;
const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// A browser's last message cannot carry headers.
#[derive(Deserialize)]
pub(crate) struct KeyInQuery {
    key: Option<String>,
}

pub(crate) async fn events(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<CallerAddress>,
    Query(query): Query<KeyInQuery>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let key = key_of(&headers).or(query.key);
    let taken = take(&app, caller, &headers, key.as_deref(), body, None).await;
    let mut response = taken.unwrap_or_else(IntoResponse::into_response);
    allow_origins(response.headers_mut());
    response
}

pub(crate) async fn conversions(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<CallerAddress>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    take(&app, caller, &headers, key_of(&headers).as_deref(), body, Some("conversion")).await
}

pub(crate) async fn sales(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<CallerAddress>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    take(&app, caller, &headers, key_of(&headers).as_deref(), body, Some("sale")).await
}

pub(crate) async fn payments(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<CallerAddress>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    take(&app, caller, &headers, key_of(&headers).as_deref(), body, Some("payment")).await
}

pub(crate) async fn refunds(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<CallerAddress>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    take(&app, caller, &headers, key_of(&headers).as_deref(), body, Some("refund")).await
}

#[derive(Serialize)]
struct Results {
    accepted: usize,
    results: Vec<EventResult>,
}

async fn take(
    app: &App,
    caller: CallerAddress,
    headers: &HeaderMap,
    key: Option<&str>,
    body: Body,
    kind: Option<&'static str>,
) -> Result<Response, ApiError> {
    let sender = Sender::with_key(app, caller, headers, key).await?;
    let body = read_body(body, app.settings.max_body_bytes).await?;
    let (pieces, is_batch) = split(&body)?;
    if pieces.len() > MAX_BATCH {
        let message = format!("{} events in one request; at most {MAX_BATCH}", pieces.len());
        return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "batch_too_large", message));
    }
    let idempotency_key =
        headers.get("idempotency-key").map(HeaderValue::to_str).transpose().map_err(|_| {
            let message = "Idempotency-Key must be visible ASCII characters";
            ApiError::new(StatusCode::BAD_REQUEST, "invalid_idempotency_key", message)
        })?;
    if idempotency_key.is_some() && is_batch {
        let message = "Idempotency-Key names one event; give each event of a batch its own id";
        return Err(ApiError::new(StatusCode::BAD_REQUEST, "idempotency_key_on_batch", message));
    }
    let take = |piece: &&RawValue| sender.take(read(piece, kind, idempotency_key)?);
    let taken: Vec<Result<Taken, NotTaken>> = pieces.iter().map(take).collect();
    if let ([Err(not_taken)], false) = (&taken[..], is_batch) {
        return Err(not_taken.clone().into());
    }
    let results = record_taken(app, headers, &taken).await;
    Ok(answer(results, is_batch))
}

fn read(
    json: &RawValue,
    kind: Option<&'static str>,
    idempotency_key: Option<&str>,
) -> Result<NativeEvent, Refusal> {
    if json.get().len() > MAX_EVENT_BYTES {
        return Err(Refusal::TooLarge { field: "the event", limit: MAX_EVENT_BYTES });
    }
    let mut native = NativeEvent::read(json.get().as_bytes())?;
    if let Some(kind) = kind {
        if native.kind.is_empty() {
            kind.clone_into(&mut native.kind);
        } else if native.kind != kind {
            let message = format!("is {:?}, but this address takes only {kind}", native.kind);
            return Err(Refusal::Invalid { field: "type", message });
        }
    }
    if native.id.is_none() {
        native.id = idempotency_key.map(ToOwned::to_owned);
    }
    Ok(native)
}

/// The answer to a request. A single event that was recorded before gets the
/// first answer again; one whose id is another event's is a conflict.
fn answer(mut results: Vec<EventResult>, is_batch: bool) -> Response {
    let mut replayed = false;
    if let ([result], false) = (&mut results[..], is_batch) {
        if result.reason == Some(ID_CLASH) {
            let message = result.message.take().unwrap_or_default();
            return ApiError::new(StatusCode::CONFLICT, ID_CLASH, message).into_response();
        }
        if result.status == Status::Duplicate {
            result.status = Status::Accepted;
            replayed = true;
        }
    }
    let accepted = results.iter().filter(|result| result.status == Status::Accepted).count();
    let mut response = answer_with(status_of(&results), Results { accepted, results });
    if replayed {
        response.headers_mut().insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    }
    response
}
