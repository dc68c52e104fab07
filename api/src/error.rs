//! What a caller is told when something is wrong: a reason code for machines,
//! a sentence for people, and the HTTP status that fits.

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use store::StoreError;

/// A request that cannot be answered as asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiError {
    status: StatusCode,
    reason: &'static str,
    message: String,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        Self { status, reason, message: message.into() }
    }

    pub(crate) fn invalid(field: &str, message: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_field", format!("{field}: {message}"))
    }

    /// The same, said of `what`.
    pub(crate) fn about(self, what: &str) -> Self {
        Self { message: format!("{what}: {}", self.message), ..self }
    }

    /// The code for machines.
    pub(crate) fn reason(&self) -> &'static str {
        self.reason
    }

    /// Whether the caller can do something about it.
    pub(crate) fn is_about_the_request(&self) -> bool {
        self.status.is_client_error()
    }

    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("there is no such {what} in this workspace"))
    }

    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", message)
    }
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = json!({ "error": { "reason": self.reason, "message": self.message } });
        (self.status, Json(body)).into_response()
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error.broken_constraint() {
            Some("workspaces_time_zone_known") => {
                Self::invalid("time_zone", "is none that is known; write it like Europe/Berlin")
            }
            Some(constraint) => match explain_constraint(constraint) {
                Some(message) => Self::conflict(message),
                None => Self::new(
                    StatusCode::UNPROCESSABLE_ENTITY,
                    "refused",
                    format!("the database refuses this ({constraint})"),
                ),
            },
            None if error.is_about_the_text() => {
                Self::invalid("a text", "has a character that cannot be kept (NUL)")
            }
            None => {
                tracing::error!(%error, "a request failed in the database");
                let message = "the database does not answer as it should; try again";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "database_unavailable", message)
            }
        }
    }
}

/// What a broken uniqueness means to the caller.
fn explain_constraint(constraint: &str) -> Option<&'static str> {
    Some(match constraint {
        "workspaces_slug_key" => "another workspace has this slug",
        "users_workspace_id_email_key" => "another user of the workspace has this e-mail address",
        "users_workspace_id_username_key" => "another user of the workspace has this user name",
        "cohorts_workspace_id_slug_key" => "another cohort of the workspace has this slug",
        "social_accounts_once" => "another social account of the workspace is this one",
        "payouts_workspace_id_reference_key" => "another payout has this reference",
        "payout_items_once" => "one of the withdrawals is in another payout",
        "tracking_links_code_key" => "another link has this code",
        _ => return None,
    })
}

impl From<clickhouse::error::Error> for ApiError {
    fn from(error: clickhouse::error::Error) -> Self {
        // TIMEOUT_EXCEEDED, MEMORY_LIMIT_EXCEEDED, TOO_MANY_ROWS_OR_BYTES.
        let told = error.to_string();
        if ["Code: 159.", "Code: 241.", "Code: 396."].iter().any(|code| told.contains(code)) {
            let message = "this takes too long, or too much memory; ask for a shorter time, or for less";
            return Self::new(StatusCode::UNPROCESSABLE_ENTITY, "too_costly", message);
        }
        tracing::error!(%error, "a request failed in ClickHouse");
        let message = "ClickHouse does not answer as it should; try again";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "clickhouse_unavailable", message)
    }
}

impl From<JsonRejection> for ApiError {
    fn from(rejection: JsonRejection) -> Self {
        let status = match rejection.status() {
            StatusCode::UNPROCESSABLE_ENTITY => StatusCode::UNPROCESSABLE_ENTITY,
            StatusCode::PAYLOAD_TOO_LARGE => StatusCode::PAYLOAD_TOO_LARGE,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            _ => StatusCode::BAD_REQUEST,
        };
        Self::new(status, "invalid_json", rejection.body_text())
    }
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_query", rejection.body_text())
    }
}
