//! Workspaces and their keys.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use domain::ids::WorkspaceId;
use domain::money::Currency;
use domain::privacy::{AddressPolicy, Privacy};
use serde::Deserialize;
use serde_json::{Value, json};
use store::control::NewWorkspace;
use store::retention::{LEAST_DAYS, MOST_DAYS};
use uuid::Uuid;

use crate::access::{Actor, Admin, InFinance, InWorkspace, hash_key};
use crate::control::{Body, check_bps, commit, created};
use crate::error::ApiError;
use crate::server::App;

/// A key says by its looks whether it may be shown.
fn fresh_key(public: bool) -> String {
    let prefix = if public { "trib_pub" } else { "trib" };
    format!("{prefix}_{}", runtime::random::hex_id())
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
    let key = fresh_key(false);
    let shown = json!({
        "id": workspace.id, "slug": workspace.slug, "name": workspace.name, "currency": workspace.currency,
        "platform_fee_bps": workspace.platform_fee_bps, "time_zone": workspace.time_zone,
    });
    let mut transaction = store::begin(&app.pool).await?;
    store::control::insert_workspace(&mut transaction, &workspace).await?;
    let (id, hash) = (Uuid::now_v7(), hash_key(&key));
    store::control::insert_key(&mut transaction, workspace.id, id, "first", &hash, false).await?;
    commit(&Actor::Admin, transaction, "create", "workspace", workspace.id.0, &shown).await?;
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
    /// For web pages: sends what browsers see, and no sales or refunds.
    #[serde(default)]
    public: bool,
}

pub(crate) async fn create_key(
    State(app): State<Arc<App>>,
    InWorkspace(workspace): InWorkspace,
    body: Body<KeyInput>,
) -> Result<Response, ApiError> {
    let Json(input) = body?;
    let (id, key) = (Uuid::now_v7(), fresh_key(input.public));
    let mut transaction = store::begin(&app.pool).await?;
    let owner = WorkspaceId(workspace.id);
    store::control::insert_key(&mut transaction, owner, id, &input.name, &hash_key(&key), input.public)
        .await?;
    commit(
        &workspace.actor,
        transaction,
        "create",
        "api_key",
        id,
        &json!({ "name": input.name, "public": input.public }),
    )
    .await?;
    Ok(created(json!({ "id": id, "name": input.name, "public": input.public, "api_key": key })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PrivacyInput {
    address_policy: String,
    honour_opt_out: bool,
    cookie_days: u16,
}

/// Replaces what the workspace keeps of its visitors; collectors hear of it
/// within a second.
pub(crate) async fn set_privacy(
    State(app): State<Arc<App>>,
    InWorkspace(workspace): InWorkspace,
    body: Body<PrivacyInput>,
) -> Result<Response, ApiError> {
    let Json(input) = body?;
    let address = AddressPolicy::of_code(&input.address_policy)
        .ok_or_else(|| ApiError::invalid("address_policy", "must be truncate, hash or drop"))?;
    if input.cookie_days > 400 {
        return Err(ApiError::invalid("cookie_days", "at most 400, which is what browsers keep"));
    }
    let privacy = Privacy { address, honour_opt_out: input.honour_opt_out, cookie_days: input.cookie_days };
    let mut transaction = store::begin(&app.pool).await?;
    store::control::set_privacy(&mut transaction, workspace.id, privacy).await?;
    let shown = json!({
        "address_policy": address.code(), "honour_opt_out": privacy.honour_opt_out,
        "cookie_days": privacy.cookie_days,
    });
    commit(&workspace.actor, transaction, "set_privacy", "workspace", workspace.id, &shown).await?;
    Ok(Json(shown).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RetentionInput {
    /// Single events are kept for so many days; for ever, if null, which has to be said.
    #[serde(deserialize_with = "Option::deserialize")]
    days: Option<i32>,
}

/// Replaces how long the workspace keeps single events. What is gone stays gone.
pub(crate) async fn set_retention(
    State(app): State<Arc<App>>,
    InWorkspace(workspace): InWorkspace,
    body: Body<RetentionInput>,
) -> Result<Response, ApiError> {
    let Json(RetentionInput { days }) = body?;
    if days.is_some_and(|days| !(LEAST_DAYS..=MOST_DAYS).contains(&days)) {
        return Err(ApiError::invalid("days", format!("{LEAST_DAYS} to {MOST_DAYS}, or null: for ever")));
    }
    let mut transaction = store::begin(&app.pool).await?;
    store::retention::set(&mut transaction, workspace.id, days).await?;
    let shown = json!({ "days": days });
    commit(&workspace.actor, transaction, "set_retention", "workspace", workspace.id, &shown).await?;
    Ok(Json(shown).into_response())
}

/// How long single events are kept, and up to when they are gone already.
pub(crate) async fn retention(InFinance(workspace): InFinance) -> Json<Value> {
    let gone_ms = Some(workspace.expired_before_ms).filter(|moment_ms| *moment_ms > 0);
    Json(json!({ "days": workspace.retention_days, "expired_before_ms": gone_ms }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RotationInput {
    /// How long tokens of the keys so far are still accepted.
    accept_days: u16,
}

/// Makes a new key to sign click tokens with.
pub(crate) async fn rotate_signing_key(
    State(app): State<Arc<App>>,
    _: Admin,
    body: Body<RotationInput>,
) -> Result<Response, ApiError> {
    let Json(input) = body?;
    let secret = runtime::random::bytes::<32>();
    let accept_days = i32::from(input.accept_days);
    let mut transaction = store::begin(&app.pool).await?;
    let added = store::links::rotate_signing_key(&mut transaction, &secret, accept_days).await?;
    let number = added.ok_or_else(|| ApiError::conflict("all 256 numbers of signing keys are used up"))?;
    let shown = json!({ "number": number, "others_accepted_for_days": accept_days });
    // The audit log is of things with ids; a key's number stands in one.
    let id = Uuid::from_u128(u128::try_from(number).unwrap_or_default());
    commit(&Actor::Admin, transaction, "rotate", "signing_key", id, &shown).await?;
    Ok(created(shown))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WebhookInput {
    provider: String,
    secret: String,
}

/// Sets what a provider signs its webhooks with. The secret is not shown again.
pub(crate) async fn set_webhook(
    State(app): State<Arc<App>>,
    InWorkspace(workspace): InWorkspace,
    body: Body<WebhookInput>,
) -> Result<Response, ApiError> {
    let Json(input) = body?;
    if !["stripe", "shopify"].contains(&input.provider.as_str()) {
        return Err(ApiError::invalid("provider", "must be stripe or shopify"));
    }
    if !(8..=256).contains(&input.secret.len()) {
        return Err(ApiError::invalid("secret", "must have 8 to 256 bytes"));
    }
    let mut transaction = store::begin(&app.pool).await?;
    let (provider, secret) = (&input.provider, &input.secret);
    store::control::set_webhook_secret(&mut transaction, workspace.id, provider, secret).await?;
    let shown = json!({ "provider": provider, "address": format!("/webhooks/{provider}/{}", workspace.id) });
    commit(&workspace.actor, transaction, "set_webhook", "workspace", workspace.id, &shown).await?;
    Ok(Json(shown).into_response())
}
