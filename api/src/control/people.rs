//! Creators, businesses, staff, and users' keys.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use domain::ids::WorkspaceId;
use serde::Deserialize;
use serde_json::json;
use store::access::NewKey;
use store::control::NewUser;
use uuid::Uuid;

use crate::access::{Actor, InWorkspace, Tenant, hash_key};
use crate::control::{Body, commit, created};
use crate::error::ApiError;
use crate::server::App;

fn new_user(workspace: &Tenant, email: String, username: String, display_name: String) -> NewUser {
    NewUser { id: Uuid::now_v7(), workspace: WorkspaceId(workspace.id), email, username, display_name }
}

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
    let user = new_user(&workspace, input.email, input.username, input.display_name);
    let shown = json!({
        "id": user.id, "email": user.email, "username": user.username,
        "display_name": user.display_name, "hashtags": input.hashtags,
    });
    let mut transaction = store::begin(&app.pool).await?;
    store::control::insert_creator(&mut transaction, &user, &input.hashtags).await?;
    commit(&workspace.actor, transaction, "create", "creator", user.id, &shown).await?;
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
    let user =
        new_user(&workspace, input.email, input.username, input.company_name.chars().take(100).collect());
    let shown = json!({
        "id": user.id, "email": user.email, "username": user.username,
        "company_name": input.company_name, "website": input.website,
    });
    let mut transaction = store::begin(&app.pool).await?;
    let (company, website) = (&input.company_name, input.website.as_deref());
    store::control::insert_business(&mut transaction, &user, company, website).await?;
    commit(&workspace.actor, transaction, "create", "business", user.id, &shown).await?;
    Ok(created(shown))
}

pub(crate) async fn list_businesses(
    State(app): State<Arc<App>>,
    InWorkspace(workspace): InWorkspace,
) -> Result<Response, ApiError> {
    let businesses = store::control::list_businesses(&app.pool, workspace.id).await?;
    Ok(Json(json!({ "businesses": businesses })).into_response())
}

/// What somebody who works for the workspace does there.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StaffRole {
    Finance,
    Admin,
}

impl StaffRole {
    fn code(self) -> &'static str {
        match self {
            Self::Finance => "finance",
            Self::Admin => "admin",
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StaffInput {
    email: String,
    username: String,
    display_name: String,
    role: StaffRole,
}

pub(crate) async fn create_staff(
    State(app): State<Arc<App>>,
    InWorkspace(workspace): InWorkspace,
    body: Body<StaffInput>,
) -> Result<Response, ApiError> {
    let Json(input) = body?;
    let user = new_user(&workspace, input.email, input.username, input.display_name);
    let role = input.role.code();
    only_the_admin_key(&workspace)?;
    let shown = json!({
        "id": user.id, "email": user.email, "username": user.username,
        "display_name": user.display_name, "role": role,
    });
    let mut transaction = store::begin(&app.pool).await?;
    store::control::insert_staff(&mut transaction, &user, role).await?;
    commit(&workspace.actor, transaction, "create", "staff", user.id, &shown).await?;
    Ok(created(shown))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserKeyInput {
    name: String,
    role: String,
}

/// Who could make a second person out of themselves could approve what they
/// proposed.
fn only_the_admin_key(workspace: &Tenant) -> Result<(), ApiError> {
    if workspace.actor == Actor::Admin {
        return Ok(());
    }
    let message = "who handles a workspace's money is named with the server's admin key alone";
    Err(ApiError::new(StatusCode::FORBIDDEN, "wrong_role", message))
}

/// A key with which a user asks for what is theirs.
pub(crate) async fn create_key(
    State(app): State<Arc<App>>,
    InWorkspace(workspace): InWorkspace,
    Path(user): Path<Uuid>,
    body: Body<UserKeyInput>,
) -> Result<Response, ApiError> {
    let Json(UserKeyInput { name, role }) = body?;
    if ["finance", "admin"].contains(&role.as_str()) {
        only_the_admin_key(&workspace)?;
    }
    let (id, key) = (Uuid::now_v7(), format!("trib_user_{}", runtime::random::hex_id()));
    let key_hash = hash_key(&key);
    let new = NewKey { id, user, role: &role, name: &name, key_hash: &key_hash };
    let mut transaction = store::begin(&app.pool).await?;
    if !store::access::insert_key(&mut transaction, workspace.id, &new).await? {
        return Err(ApiError::not_found("user in that role"));
    }
    let shown = json!({ "id": id, "user_id": user, "role": role, "name": name });
    commit(&workspace.actor, transaction, "create", "user_key", id, &shown).await?;
    // The key is shown here and never again.
    Ok(created(json!({ "id": id, "user_id": user, "role": role, "name": name, "user_key": key })))
}

pub(crate) async fn revoke_key(
    State(app): State<Arc<App>>,
    InWorkspace(workspace): InWorkspace,
    Path(id): Path<Uuid>,
) -> Result<Response, ApiError> {
    let mut transaction = store::begin(&app.pool).await?;
    if !store::access::revoke_key(&mut transaction, workspace.id, id).await? {
        return Err(ApiError::not_found("key that still opens"));
    }
    let shown = json!({ "id": id });
    commit(&workspace.actor, transaction, "revoke", "user_key", id, &shown).await?;
    Ok(Json(shown).into_response())
}
