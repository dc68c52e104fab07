//! Workspaces and their keys.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use domain::ids::WorkspaceId;
use domain::money::Currency;
use serde::Deserialize;
use serde_json::json;
use store::control::NewWorkspace;
use uuid::Uuid;

use crate::access::{Admin, InWorkspace, hash_key};
use crate::control::{Body, check_bps, commit, created};
use crate::error::ApiError;
use crate::server::App;

fn fresh_key() -> String {
    format!("trib_{}", runtime::random::hex_id())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WorkspaceInput {
    slug: String,
    name: String,
    currency: String,
    platform_fee_bps: u16,
    time_zone: Option<String>,
}

pub(crate) async fn create_workspace(
    State(app): State<Arc<App>>,
    _: Admin,
    body: Body<WorkspaceInput>,
) -> Result<Response, ApiError> {
    let Json(input) = body?;
    let currency = Currency::new(&input.currency).map_err(|error| ApiError::invalid("currency", error))?;
    check_bps("platform_fee_bps", input.platform_fee_bps)?;
    let workspace = NewWorkspace {
        id: WorkspaceId(Uuid::now_v7()),
        slug: input.slug,
        name: input.name,
        currency,
        platform_fee_bps: input.platform_fee_bps,
        time_zone: input.time_zone.unwrap_or_else(|| "UTC".to_owned()),
    };
    let key = fresh_key();
    let shown = json!({
        "id": workspace.id, "slug": workspace.slug, "name": workspace.name, "currency": workspace.currency,
        "platform_fee_bps": workspace.platform_fee_bps, "time_zone": workspace.time_zone,
    });
    let mut transaction = store::begin(&app.pool).await?;
    store::control::insert_workspace(&mut transaction, &workspace).await?;
    let (id, hash) = (Uuid::now_v7(), hash_key(&key));
    store::control::insert_key(&mut transaction, workspace.id, id, "first", &hash).await?;
    commit(transaction, "create", "workspace", workspace.id.0, &shown).await?;
    // The key is shown here and never again.
    Ok(created(json!({ "workspace": shown, "api_key": key })))
}

pub(crate) async fn list_workspaces(State(app): State<Arc<App>>, _: Admin) -> Result<Response, ApiError> {
    let workspaces = store::control::list_workspaces(&app.pool).await?;
    Ok(Json(json!({ "workspaces": workspaces })).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyInput {
    name: String,
}

pub(crate) async fn create_key(
    State(app): State<Arc<App>>,
    InWorkspace(workspace): InWorkspace,
    body: Body<KeyInput>,
) -> Result<Response, ApiError> {
    let Json(input) = body?;
    let (id, key) = (Uuid::now_v7(), fresh_key());
    let mut transaction = store::begin(&app.pool).await?;
    let workspace = WorkspaceId(workspace.id);
    store::control::insert_key(&mut transaction, workspace, id, &input.name, &hash_key(&key)).await?;
    commit(transaction, "create", "api_key", id, &json!({ "name": input.name })).await?;
    Ok(created(json!({ "id": id, "name": input.name, "api_key": key })))
}
