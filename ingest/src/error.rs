//! What a caller is told when something is wrong: a reason code for machines,
//! a sentence for people, and the HTTP status that fits.

use crate::limits::TooMuch;
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::refusal::Refusal;
use serde::Serialize;

/// A request that cannot be answered as asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
    /// After how long the same may be taken, where it may.
    retry_after_s: u64,
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    error: ErrorFields<'a>,
}

#[derive(Serialize)]
struct ErrorFields<'a> {
    reason: &'a str,
    message: &'a str,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        Self { status, reason, message: message.into(), retry_after_s: 1 }
    }

    /// The sender is to wait.
    pub(crate) fn too_much(TooMuch(wait): TooMuch, message: &str) -> Self {
        let retry_after_s = wait.as_secs_f64().ceil().max(1.0) as u64;
        let message = format!("{message}; try again in {retry_after_s} s");
        Self { retry_after_s, ..Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", message) }
    }

    /// Something behind the collector is away; the same request may succeed
    /// later.
    pub(crate) fn unavailable(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, reason, message)
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        Self::new(StatusCode::BAD_REQUEST, refusal.code(), refusal.to_string())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        metrics::counter!("tributary_ingest_errors_total", "reason" => self.reason).increment(1);
        let error = ErrorFields { reason: self.reason, message: &self.message };
        let mut response = (self.status, Json(ErrorBody { error })).into_response();
        if matches!(self.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            response.headers_mut().insert(header::RETRY_AFTER, self.retry_after_s.into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer realm=\"tributary\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}
