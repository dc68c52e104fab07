//! `DELETE /v1/visitors/{id}`: a visitor is to be forgotten.
//!
//! The request is an event of that visitor, so it follows all that came before
//! on its way, through the spool if need be; attribution and ClickHouse forget
//! when they come to it. Kafka forgets with its topic's retention.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use domain::event::{Body, Client, Event, payload_hash};
use domain::ids::{EventId, VisitorKey};
use domain::native::MAX_NAME_BYTES;
use runtime::random::uuid_v7;
use serde_json::json;

use crate::caller::{CallerAddress, key_of};
use crate::error::ApiError;
use crate::intake::sender::Sender;
use crate::server::{App, record};
use crate::spool::Record;

pub(crate) async fn erase(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<CallerAddress>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let sender = Sender::with_key(&app, caller, &headers, key_of(&headers).as_deref()).await?;
    if sender.is_browser() {
        let message = "a public key erases nobody; ask from a server, with a secret key";
        return Err(ApiError::new(StatusCode::FORBIDDEN, "public_key", message));
    }
    if id.is_empty() || id.len() > MAX_NAME_BYTES {
        let message = format!("a visitor's or user's id has 1 to {MAX_NAME_BYTES} bytes");
        return Err(ApiError::new(StatusCode::BAD_REQUEST, "invalid_field", message));
    }
    // The id may be a visitor's or a user's; whoever asks need not know which.
    let workspace = sender.tenant.workspace;
    let keys = [VisitorKey::derive(workspace, &id), VisitorKey::derive_user(workspace, &id)];
    let records: Vec<Record> = keys
        .into_iter()
        .map(|visitor| {
            let (id, body) = (EventId(uuid_v7(sender.now_ms)), Body::Erase {});
            let event: Event = Event {
                id,
                workspace,
                visitor,
                user: None,
                at_ms: sender.now_ms,
                received_at_ms: sender.now_ms,
                payload_hash: payload_hash(&(&body, id)),
                body,
                client: Client::default(),
                bot: None,
            };
            record(&event, &headers)
        })
        .collect();
    for recorded in app.outbox.record_all(&records).await {
        recorded.map_err(|error| ApiError::unavailable("not_durable", error.to_string()))?;
    }
    Ok((StatusCode::ACCEPTED, Json(json!({ "erasing": id }))).into_response())
}
