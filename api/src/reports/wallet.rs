//! What a user has, out of the books.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use uuid::Uuid;

use crate::access::InFinance;
use crate::error::ApiError;
use crate::server::App;

pub(crate) async fn wallet(
    State(app): State<Arc<App>>,
    InFinance(workspace): InFinance,
    Path(user): Path<Uuid>,
) -> Result<Response, ApiError> {
    let creators = store::control::list_creators(&app.pool, workspace.id).await?;
    let Some(creator) = creators.into_iter().find(|creator| creator.id == user) else {
        return Err(ApiError::not_found("creator"));
    };
    let balances = store::ledger::balances(&app.pool, workspace.id, user).await?;
    let balance = |kind: &str| -> i64 {
        let of_kind = balances.iter().filter(|b| b.kind == kind && b.currency == workspace.currency);
        of_kind.map(|b| b.balance_minor).sum()
    };
    let body = json!({
        "user_id": user,
        "display_name": creator.display_name,
        "currency": workspace.currency,
        "pending_minor": balance("creator_pending"),
        "available_minor": balance("creator_available"),
        "in_transit_minor": balance("creator_in_transit"),
        "paid_minor": balance("creator_paid"),
        "debt_minor": balance("creator_debt").saturating_neg(),
    });
    Ok(Json(body).into_response())
}
