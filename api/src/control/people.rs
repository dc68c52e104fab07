//! Creators and businesses.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use domain::ids::WorkspaceId;
use serde::Deserialize;
use serde_json::json;
use store::control::NewUser;
use uuid::Uuid;

use crate::access::InWorkspace;
use crate::control::{Body, commit, created};
use crate::error::ApiError;
use crate::server::App;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreatorInput {
    email: String,
    username: String,
    display_name: String,
    #[serde(default)]
    hashtags: Vec<String>,
}

pub(crate) async fn create_creator(
    State(app): State<Arc<App>>,
    InWorkspace(workspace): InWorkspace,
    body: Body<CreatorInput>,
) -> Result<Response, ApiError> {
    let Json(input) = body?;
    let user = NewUser {
        id: Uuid::now_v7(),
        workspace: WorkspaceId(workspace.id),
        email: input.email,
        username: input.username,
        display_name: input.display_name,
    };
    let shown = json!({
        "id": user.id, "email": user.email, "username": user.username,
        "display_name": user.display_name, "hashtags": input.hashtags,
    });
    let mut transaction = store::begin(&app.pool).await?;
    store::control::insert_creator(&mut transaction, &user, &input.hashtags).await?;
    commit(transaction, "create", "creator", user.id, &shown).await?;
    Ok(created(shown))
}

pub(crate) async fn list_creators(
    State(app): State<Arc<App>>,
    InWorkspace(workspace): InWorkspace,
) -> Result<Response, ApiError> {
    let creators = store::control::list_creators(&app.pool, workspace.id).await?;
    Ok(Json(json!({ "creators": creators })).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BusinessInput {
    email: String,
    username: String,
    company_name: String,
    website: Option<String>,
}

pub(crate) async fn create_business(
    State(app): State<Arc<App>>,
    InWorkspace(workspace): InWorkspace,
    body: Body<BusinessInput>,
) -> Result<Response, ApiError> {
    let Json(input) = body?;
    let user = NewUser {
        id: Uuid::now_v7(),
        workspace: WorkspaceId(workspace.id),
        email: input.email,
        username: input.username,
        display_name: input.company_name.chars().take(100).collect(),
    };
    let shown = json!({
        "id": user.id, "email": user.email, "username": user.username,
        "company_name": input.company_name, "website": input.website,
    });
    let mut transaction = store::begin(&app.pool).await?;
    let (company, website) = (&input.company_name, input.website.as_deref());
    store::control::insert_business(&mut transaction, &user, company, website).await?;
    commit(transaction, "create", "business", user.id, &shown).await?;
    Ok(created(shown))
}

pub(crate) async fn list_businesses(
    State(app): State<Arc<App>>,
    InWorkspace(workspace): InWorkspace,
) -> Result<Response, ApiError> {
    let businesses = store::control::list_businesses(&app.pool, workspace.id).await?;
    Ok(Json(json!({ "businesses": businesses })).into_response())
}
