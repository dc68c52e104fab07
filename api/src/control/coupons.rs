//! Coupons: codes that credit a creator without a click.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use domain::rules::coupon_code;
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use crate::access::InWorkspace;
use crate::control::{Body, commit, created};
use crate::error::ApiError;
use crate::server::App;

/// Longest code, in characters.
const MAX_CODE: usize = 64;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CouponInput {
    code: String,
    campaign_id: Uuid,
    creator_id: Uuid,
}

pub(crate) async fn create_coupon(
    State(app): State<Arc<App>>,
    InWorkspace(workspace): InWorkspace,
    body: Body<CouponInput>,
) -> Result<Response, ApiError> {
    let Json(CouponInput { code, campaign_id, creator_id }) = body?;
    let code = coupon_code(&code);
    if code.is_empty() || code.chars().count() > MAX_CODE || code.chars().any(char::is_control) {
        return Err(ApiError::invalid("code", "has 1 to 64 characters, none of them control characters"));
    }
    let mut transaction = store::begin(&app.pool).await?;
    let inserted =
        store::campaigns::insert_coupon(&mut transaction, workspace.id, &code, campaign_id, creator_id);
    let Some(valid_from_ms) = inserted.await? else {
        return Err(ApiError::not_found("creator in such a campaign"));
    };
    let shown = json!({
        "code": code, "campaign_id": campaign_id, "creator_id": creator_id, "valid_from_ms": valid_from_ms,
    });
    commit(&workspace.actor, transaction, "create", "coupon", campaign_id, &shown).await?;
    Ok(created(shown))
}

pub(crate) async fn list_coupons(
    State(app): State<Arc<App>>,
    InWorkspace(workspace): InWorkspace,
) -> Result<Response, ApiError> {
    let coupons = store::campaigns::coupons(&app.pool, Some(workspace.id)).await?;
    Ok(Json(json!({ "coupons": coupons })).into_response())
}
