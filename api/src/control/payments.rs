//! What processors and platform keep of payments, and sellers' tiers.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use domain::payment::PaymentRates;
use runtime::clock::now_ms;
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use crate::access::InWorkspace;
use crate::control::{Body, commit, created};
use crate::error::ApiError;
use crate::server::App;

/// Sets what is kept of payments, from a few seconds later on.
pub(crate) async fn set_terms(
    State(app): State<Arc<App>>,
    InWorkspace(workspace): InWorkspace,
    body: Body<PaymentRates>,
) -> Result<Response, ApiError> {
    let Json(rates) = body?;
    if let Some((field, message)) = rates.fault() {
        return Err(ApiError::invalid(field, message));
    }
    let mut transaction = store::begin(&app.pool).await?;
    let (version, valid_from_ms) =
        store::payments::insert_terms(&mut transaction, workspace.id, &rates).await?;
    let shown = json!({ "version": version, "valid_from_ms": valid_from_ms, "rates": rates });
    commit(&workspace.actor, transaction, "set_payment_terms", "workspace", workspace.id, &shown).await?;
    Ok(created(shown))
}

/// All versions, oldest first.
pub(crate) async fn list_terms(
    State(app): State<Arc<App>>,
    InWorkspace(workspace): InWorkspace,
) -> Result<Response, ApiError> {
    let terms = store::payments::terms(&app.pool, Some(workspace.id)).await?;
    let shown: Vec<_> = terms
        .iter()
        .map(|terms| {
            json!({ "version": terms.version, "valid_from_ms": terms.valid_from_ms, "rates": terms.rates })
        })
        .collect();
    Ok(Json(json!({ "payment_terms": shown })).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TierInput {
    tier: String,
}

/// Puts a seller into a tier, from a few seconds later on.
pub(crate) async fn set_tier(
    State(app): State<Arc<App>>,
    InWorkspace(workspace): InWorkspace,
    Path(seller): Path<Uuid>,
    body: Body<TierInput>,
) -> Result<Response, ApiError> {
    let Json(TierInput { tier }) = body?;
    let rates = latest_rates(&app, workspace.id).await?;
    if !rates.commission_bps.contains_key(&tier) {
        let known: Vec<&str> = rates.commission_bps.keys().map(String::as_str).collect();
        return Err(ApiError::invalid(
            "tier",
            format!("is none of the terms'; known are {}", known.join(", ")),
        ));
    }
    let mut transaction = store::begin(&app.pool).await?;
    let Some(valid_from_ms) =
        store::payments::insert_tier(&mut transaction, workspace.id, seller, &tier).await?
    else {
        return Err(ApiError::not_found("user"));
    };
    let shown = json!({ "seller_id": seller, "tier": tier, "valid_from_ms": valid_from_ms });
    commit(&workspace.actor, transaction, "set_tier", "creator", seller, &shown).await?;
    Ok(created(shown))
}

/// The latest rates, be they in force already or in a few seconds.
async fn latest_rates(app: &App, workspace: Uuid) -> Result<PaymentRates, ApiError> {
    let last = store::payments::terms(&app.pool, Some(workspace)).await?.pop();
    last.map(|terms| terms.rates).ok_or_else(|| ApiError::not_found("payment terms"))
}

/// The rates in force now.
pub(crate) async fn rates_in_force(app: &App, workspace: Uuid) -> Result<PaymentRates, ApiError> {
    let now_ms = now_ms();
    let terms = store::payments::terms(&app.pool, Some(workspace)).await?;
    let in_force = terms.into_iter().rev().find(|terms| terms.valid_from_ms <= now_ms);
    in_force.map(|terms| terms.rates).ok_or_else(|| ApiError::not_found("payment terms"))
}
