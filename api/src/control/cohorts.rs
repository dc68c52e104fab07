//! Cohorts: creators who are ranked among themselves.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use crate::access::InWorkspace;
use crate::control::{Body, commit, created};
use crate::error::ApiError;
use crate::server::App;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CohortInput {
    slug: String,
    name: String,
}

pub(crate) async fn create(
    State(app): State<Arc<App>>,
    InWorkspace(workspace): InWorkspace,
    body: Body<CohortInput>,
) -> Result<Response, ApiError> {
    let Json(CohortInput { slug, name }) = body?;
    let is_slug = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if slug.is_empty() || slug.len() > 63 || slug.starts_with('-') || !slug.chars().all(is_slug) {
        let message = "has 1 to 63 of a-z, 0-9 and -, and does not begin with -";
        return Err(ApiError::invalid("slug", message));
    }
    if name.trim().is_empty() || name.chars().count() > 200 {
        return Err(ApiError::invalid("name", "must have 1 to 200 characters"));
    }
    let id = Uuid::now_v7();
    let shown = json!({ "id": id, "slug": slug, "name": name });
    let mut transaction = store::begin(&app.pool).await?;
    store::cohorts::insert(&mut transaction, workspace.id, id, &slug, &name).await?;
    commit(&workspace.actor, transaction, "create", "cohort", id, &shown).await?;
    Ok(created(shown))
}

pub(crate) async fn list(
    State(app): State<Arc<App>>,
    InWorkspace(workspace): InWorkspace,
) -> Result<Response, ApiError> {
    let cohorts = store::cohorts::list(&app.pool, workspace.id, None).await?;
    Ok(Json(json!({ "cohorts": cohorts })).into_response())
}

pub(crate) async fn add(
    State(app): State<Arc<App>>,
    InWorkspace(workspace): InWorkspace,
    Path((cohort, creator)): Path<(Uuid, Uuid)>,
) -> Result<Response, ApiError> {
    let mut transaction = store::begin(&app.pool).await?;
    if !store::cohorts::add(&mut transaction, workspace.id, cohort, creator).await? {
        return Err(ApiError::not_found("cohort, or creator,"));
    }
    let shown = json!({ "cohort_id": cohort, "creator_id": creator });
    commit(&workspace.actor, transaction, "add_member", "cohort", cohort, &shown).await?;
    Ok(Json(shown).into_response())
}

pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    InWorkspace(workspace): InWorkspace,
    Path((cohort, creator)): Path<(Uuid, Uuid)>,
) -> Result<Response, ApiError> {
    let mut transaction = store::begin(&app.pool).await?;
    if !store::cohorts::remove(&mut transaction, workspace.id, cohort, creator).await? {
        return Err(ApiError::not_found("member of such a cohort"));
    }
    let shown = json!({ "cohort_id": cohort, "creator_id": creator });
    commit(&workspace.actor, transaction, "remove_member", "cohort", cohort, &shown).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
