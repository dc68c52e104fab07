//! What creators must meet before they are paid, and where their money goes:
//! policy, documents, holds, accounts.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use domain::money::check_amount;
use domain::payout::{Account, Origin};
use serde::Deserialize;
use serde_json::json;
use store::wallets::PolicyRow;
use uuid::Uuid;

use crate::access::InFinance;
use crate::control::{Body, commit, created};
use crate::error::ApiError;
use crate::server::App;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PolicyInput {
    hold_days: u16,
    #[serde(default)]
    minimum_withdrawal_minor: i64,
    #[serde(default)]
    required_documents: Vec<Document>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Document {
    W9,
    Invoice,
    IdVerification,
}

impl Document {
    fn code(self) -> &'static str {
        match self {
            Self::W9 => "w9",
            Self::Invoice => "invoice",
            Self::IdVerification => "id_verification",
        }
    }
}

/// Sets how long earnings are held and what a withdrawal needs.
pub(crate) async fn set_policy(
    State(app): State<Arc<App>>,
    InFinance(workspace): InFinance,
    body: Body<PolicyInput>,
) -> Result<Response, ApiError> {
    let Json(input) = body?;
    if input.hold_days > 365 {
        return Err(ApiError::invalid("hold_days", "at most 365"));
    }
    if input.minimum_withdrawal_minor < 0 || check_amount(input.minimum_withdrawal_minor).is_err() {
        return Err(ApiError::invalid(
            "minimum_withdrawal_minor",
            "must not be below 0, and within the limit",
        ));
    }
    let policy = PolicyRow {
        version: 0,
        hold_days: i32::from(input.hold_days),
        minimum_withdrawal_minor: input.minimum_withdrawal_minor,
        required_documents: input.required_documents.iter().map(|kind| kind.code().to_owned()).collect(),
    };
    let mut transaction = store::begin(&app.pool).await?;
    let (version, valid_from_ms) =
        store::wallets::set_policy(&mut transaction, workspace.id, &policy).await?;
    let policy = PolicyRow { version, ..policy };
    let shown = json!({ "policy": policy, "valid_from_ms": valid_from_ms });
    commit(&workspace.actor, transaction, "set_policy", "workspace", workspace.id, &shown).await?;
    Ok(created(shown))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DocumentInput {
    kind: Document,
    status: DocumentStatus,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum DocumentStatus {
    Submitted,
    Approved,
    Rejected,
}

impl DocumentStatus {
    fn code(self) -> &'static str {
        match self {
            Self::Submitted => "submitted",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
        }
    }
}

/// Notes where a creator's document stands; the latest of each kind counts.
pub(crate) async fn set_document(
    State(app): State<Arc<App>>,
    InFinance(workspace): InFinance,
    Path(creator): Path<Uuid>,
    body: Body<DocumentInput>,
) -> Result<Response, ApiError> {
    let Json(input) = body?;
    let (kind, status) = (input.kind.code(), input.status.code());
    let mut transaction = store::begin(&app.pool).await?;
    if !store::withdrawals::set_document(&mut transaction, workspace.id, creator, kind, status).await? {
        return Err(ApiError::not_found("creator"));
    }
    let shown = json!({ "kind": kind, "status": status });
    commit(&workspace.actor, transaction, "set_document", "creator", creator, &shown).await?;
    Ok(created(shown))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HoldInput {
    on_hold: bool,
    reason: String,
}

/// Keeps a creator's money here, or no longer.
pub(crate) async fn set_hold(
    State(app): State<Arc<App>>,
    InFinance(workspace): InFinance,
    Path(creator): Path<Uuid>,
    body: Body<HoldInput>,
) -> Result<Response, ApiError> {
    let Json(input) = body?;
    let mut transaction = store::begin(&app.pool).await?;
    // Whatever is being asked for is then over, or sees the hold.
    let _turn = store::journal::begin(&mut transaction).await?;
    let (on_hold, reason) = (input.on_hold, &input.reason);
    if !store::withdrawals::set_hold(&mut transaction, workspace.id, creator, on_hold, reason).await? {
        return Err(ApiError::not_found("creator"));
    }
    let shown = json!({ "on_hold": on_hold, "reason": reason });
    commit(&workspace.actor, transaction, "set_payout_hold", "creator", creator, &shown).await?;
    Ok(created(shown))
}

/// Says where a creator's money is sent. The latest of each kind counts.
pub(crate) async fn set_account(
    State(app): State<Arc<App>>,
    InFinance(workspace): InFinance,
    Path(creator): Path<Uuid>,
    body: Body<Account>,
) -> Result<Response, ApiError> {
    let Json(account) = body?;
    if let Some((field, message)) = account.fault() {
        return Err(ApiError::invalid(field, message));
    }
    let mut transaction = store::begin(&app.pool).await?;
    let actor = workspace.actor.name();
    if !store::payouts::set_account(&mut transaction, workspace.id, creator, &account, &actor).await? {
        return Err(ApiError::not_found("creator"));
    }
    let shown = json!({ "creator_id": creator, "account": account });
    commit(&workspace.actor, transaction, "set_payout_account", "creator", creator, &shown).await?;
    Ok(created(shown))
}

/// Says which accounts payouts leave from. The latest counts.
pub(crate) async fn set_origin(
    State(app): State<Arc<App>>,
    InFinance(workspace): InFinance,
    body: Body<Origin>,
) -> Result<Response, ApiError> {
    let Json(origin) = body?;
    if let Some((field, message)) = origin.fault() {
        return Err(ApiError::invalid(field, message));
    }
    let mut transaction = store::begin(&app.pool).await?;
    store::payouts::set_origin(&mut transaction, workspace.id, &origin).await?;
    let shown = json!({ "origin": origin });
    commit(&workspace.actor, transaction, "set_payout_origin", "workspace", workspace.id, &shown).await?;
    Ok(created(shown))
}
