//! Who may ask, and about which workspace.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use store::control::WorkspaceRow;

use crate::error::ApiError;
use crate::server::App;

/// SHA-256 of a key; keys are compared and stored only so.
#[must_use]
pub fn hash_key(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

/// The request carries the admin key.
pub(crate) struct Admin;

impl FromRequestParts<Arc<App>> for Admin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let unauthorized = |reason, message| ApiError::new(StatusCode::UNAUTHORIZED, reason, message);
        let key = parts
            .headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "))
            .ok_or_else(|| {
                unauthorized("missing_key", "send the admin key as `Authorization: Bearer <key>`")
            })?;
        // Hashes are compared, so the time taken says nothing about the key.
        if hash_key(key.trim()) == app.settings.admin_key_hash {
            Ok(Self)
        } else {
            Err(unauthorized("unknown_key", "this is not the admin key"))
        }
    }
}

#[derive(Deserialize)]
struct WorkspaceQuery {
    workspace: Option<String>,
}

/// An admin's request about the workspace that `?workspace=` names, by id or
/// slug.
pub(crate) struct InWorkspace(pub(crate) WorkspaceRow);

impl FromRequestParts<Arc<App>> for InWorkspace {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        Admin::from_request_parts(parts, app).await?;
        let Query(query) = Query::<WorkspaceQuery>::try_from_uri(&parts.uri)?;
        let Some(name) = query.workspace else {
            let message = "say which workspace: ?workspace=<id or slug>";
            return Err(ApiError::new(StatusCode::BAD_REQUEST, "missing_workspace", message));
        };
        store::control::find_workspace(&app.pool, &name).await?.map(Self).ok_or_else(|| {
            let message = format!("there is no workspace {name:?}");
            ApiError::new(StatusCode::NOT_FOUND, "unknown_workspace", message)
        })
    }
}
