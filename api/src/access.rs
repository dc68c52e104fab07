//! Who may ask, and about which workspace.

use std::ops::Deref;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use store::access::KeyUser;
use store::control::WorkspaceRow;

use crate::error::ApiError;
use crate::server::App;

/// SHA-256 of a key; keys are compared and stored only so.
#[must_use]
pub fn hash_key(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Actor {
    /// Whoever has the admin key.
    Admin,
    /// A user, by a key of their own.
    User(KeyUser),
}

impl Actor {
    /// The name in the audit log.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Admin => "admin".to_owned(),
            Self::User(user) => format!("{}:{}", user.role, user.user_id),
        }
    }

    /// The person, whatever the role.
    pub(crate) fn person(name: &str) -> &str {
        name.split_once(':').map_or(name, |(_role, user)| user)
    }

    fn may(&self, roles: &[&str]) -> bool {
        match self {
            Self::Admin => true,
            Self::User(user) => roles.contains(&user.role.as_str()),
        }
    }
}

fn forbidden(roles: &[&str]) -> ApiError {
    let message = format!("this takes the admin key, or a key of the role {}", roles.join(" or "));
    ApiError::new(StatusCode::FORBIDDEN, "wrong_role", message)
}

impl FromRequestParts<Arc<App>> for Actor {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let unauthorized = |reason, message| ApiError::new(StatusCode::UNAUTHORIZED, reason, message);
        let key = parts
            .headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "))
            .ok_or_else(|| {
                unauthorized(
                    "missing_key",
                    "send the admin key, or a user's, as `Authorization: Bearer <key>`",
                )
            })?;
        // Hashes are compared, so the time taken says nothing about the key.
        let hash = hash_key(key.trim());
        if hash == app.settings.admin_key_hash {
            return Ok(Self::Admin);
        }
        let user = store::access::find_key(&app.pool, &hash).await?;
        user.map(Self::User)
            .ok_or_else(|| unauthorized("unknown_key", "this is neither the admin key nor a user's"))
    }
}

/// The request carries the admin key.
pub(crate) struct Admin;

impl FromRequestParts<Arc<App>> for Admin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        match Actor::from_request_parts(parts, app).await? {
            Actor::Admin => Ok(Self),
            Actor::User(_) => {
                let message = "this concerns all workspaces: it takes the admin key";
                Err(ApiError::new(StatusCode::FORBIDDEN, "wrong_role", message))
            }
        }
    }
}

#[derive(Deserialize)]
struct WorkspaceQuery {
    workspace: Option<String>,
}

/// The workspace that a request is about, and who asks.
pub(crate) struct Tenant {
    row: WorkspaceRow,
    /// Who asks.
    pub(crate) actor: Actor,
}

impl Deref for Tenant {
    type Target = WorkspaceRow;

    fn deref(&self) -> &WorkspaceRow {
        &self.row
    }
}

impl Tenant {
    /// The workspace that `?workspace=` names, by id or slug; a user's own, if it
    /// names none. Only who has one of `roles` there may ask.
    async fn of(parts: &mut Parts, app: &Arc<App>, roles: &[&str]) -> Result<Self, ApiError> {
        let actor = Actor::from_request_parts(parts, app).await?;
        if !actor.may(roles) {
            return Err(forbidden(roles));
        }
        let Query(query) = Query::<WorkspaceQuery>::try_from_uri(&parts.uri)?;
        let own = match &actor {
            Actor::Admin => None,
            Actor::User(user) => Some(user.workspace_id),
        };
        let Some(name) = query.workspace.or(own.map(|id| id.to_string())) else {
            let message = "say which workspace: ?workspace=<id or slug>";
            return Err(ApiError::new(StatusCode::BAD_REQUEST, "missing_workspace", message));
        };
        let found = store::control::find_workspace(&app.pool, &name).await?;
        let row = found.filter(|row| own.is_none_or(|own| own == row.id)).ok_or_else(|| {
            let message = format!("there is no workspace {name:?}");
            ApiError::new(StatusCode::NOT_FOUND, "unknown_workspace", message)
        })?;
        Ok(Self { row, actor })
    }
}

/// An admin's request about a workspace.
pub(crate) struct InWorkspace(pub(crate) Tenant);

impl FromRequestParts<Arc<App>> for InWorkspace {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        Tenant::of(parts, app, &["admin"]).await.map(Self)
    }
}

/// A request about a workspace's money, by its finance people or admins.
pub(crate) struct InFinance(pub(crate) Tenant);

impl FromRequestParts<Arc<App>> for InFinance {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        Tenant::of(parts, app, &["finance", "admin"]).await.map(Self)
    }
}
