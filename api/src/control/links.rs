//! Tracking links.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use domain::ids::{LinkId, WorkspaceId};
use serde::Deserialize;
use serde_json::json;
use store::links::NewLink;
use uuid::Uuid;

use crate::access::InWorkspace;
use crate::control::{Body, commit, created};
use crate::error::ApiError;
use crate::server::App;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LinkInput {
    campaign_id: Uuid,
    creator_id: Uuid,
    code: String,
    destination_url: String,
    fallback_url: Option<String>,
    expires_at_ms: Option<i64>,
}

pub(crate) async fn create_link(
    State(app): State<Arc<App>>,
    InWorkspace(workspace): InWorkspace,
    body: Body<LinkInput>,
) -> Result<Response, ApiError> {
    let Json(input) = body?;
    check_code(&input.code)?;
    check_url("destination_url", &input.destination_url)?;
    if let Some(url) = &input.fallback_url {
        check_url("fallback_url", url)?;
    }
    let link = NewLink {
        id: LinkId(Uuid::now_v7()),
        workspace: WorkspaceId(workspace.id),
        campaign: input.campaign_id,
        creator: input.creator_id,
        code: input.code,
        destination_url: input.destination_url,
        fallback_url: input.fallback_url,
        expires_at_ms: input.expires_at_ms,
    };
    let mut transaction = store::begin(&app.pool).await?;
    if !store::links::insert(&mut transaction, &link).await? {
        let message = "the creator has not accepted this campaign, or one of them is not of this workspace";
        return Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "not_a_member", message));
    }
    let shown = json!({
        "id": link.id, "campaign_id": link.campaign, "creator_id": link.creator, "code": link.code,
        "destination_url": link.destination_url, "fallback_url": link.fallback_url,
        "expires_at_ms": link.expires_at_ms,
    });
    commit(transaction, "create", "link", link.id.0, &shown).await?;
    Ok(created(shown))
}

pub(crate) async fn list_links(
    State(app): State<Arc<App>>,
    InWorkspace(workspace): InWorkspace,
) -> Result<Response, ApiError> {
    let links = store::links::list(&app.pool, workspace.id).await?;
    Ok(Json(json!({ "links": links })).into_response())
}

/// Paths that the collector has for itself and no link can have.
const RESERVED_CODES: [&str; 5] = ["healthz", "readyz", "metrics", "v1", "webhooks"];

fn check_code(code: &str) -> Result<(), ApiError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if code.is_empty() || code.len() > 20 || !code.chars().all(plain) {
        return Err(ApiError::invalid("code", "must be 1 to 20 letters, digits, - or _"));
    }
    if RESERVED_CODES.contains(&code) {
        return Err(ApiError::invalid("code", "is a path of the collector itself"));
    }
    Ok(())
}

fn check_url(field: &str, text: &str) -> Result<(), ApiError> {
    let url = url::Url::parse(text).map_err(|error| ApiError::invalid(field, error))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(ApiError::invalid(field, "must be an http or https address"));
    }
    if text.len() > 2_048 || text.chars().any(char::is_control) {
        return Err(ApiError::invalid(field, "is too long or has control characters"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_addresses_are_checked() {
        for code in ["a", "summer-24_X", "01234567890123456789"] {
            assert!(check_code(code).is_ok(), "{code}");
        }
        for code in ["", "a b", "a/b", "ü", "012345678901234567890", "metrics"] {
            assert!(check_code(code).is_err(), "{code}");
        }
        for url in ["https://shop.example/p?x=1#f", "http://localhost:3000"] {
            assert!(check_url("u", url).is_ok(), "{url}");
        }
        for url in
            ["javascript:alert(1)", "ftp://a.example", "/relative", "https://", "https://a.example/\r\nX: 1"]
        {
            assert!(check_url("u", url).is_err(), "{url}");
        }
    }
}
