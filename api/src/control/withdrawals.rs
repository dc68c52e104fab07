//! Creators' money on its way out.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use domain::ids::{UserId, WorkspaceId};
use domain::ledger::postings::{Source, WalletKey};
use domain::money::{Currency, check_amount};
use domain::wallet::{Method, Wallet, WithdrawalPolicy, WithdrawalStatus, check_withdrawal, withdrawal_step};
use runtime::clock::now_ms;
use serde::Deserialize;
use serde_json::json;
use store::control::WorkspaceRow;
use store::withdrawals::{Filter, NewWithdrawal, Step, WithdrawalRow};
use uuid::Uuid;

use crate::access::{Actor, InFinance};
use crate::control::{Body, commit, created};
use crate::error::ApiError;
use crate::server::App;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WithdrawalInput {
    pub(crate) creator_id: Uuid,
    pub(crate) amount_minor: i64,
    pub(crate) method: Method,
    pub(crate) external_id: String,
}

/// Sets a creator's money aside to be sent. The same `external_id` withdraws
/// once.
pub(crate) async fn request(
    State(app): State<Arc<App>>,
    InFinance(workspace): InFinance,
    body: Body<WithdrawalInput>,
) -> Result<Response, ApiError> {
    let Json(input) = body?;
    request_by(&app, &workspace, &workspace.actor, &input).await
}

/// The same, whoever asks.
pub(crate) async fn request_by(
    app: &App,
    workspace: &WorkspaceRow,
    actor: &Actor,
    input: &WithdrawalInput,
) -> Result<Response, ApiError> {
    if input.external_id.is_empty() || input.external_id.len() > 128 {
        return Err(ApiError::invalid("external_id", "must have 1 to 128 bytes"));
    }
    check_amount(input.amount_minor).map_err(|error| ApiError::invalid("amount_minor", error))?;
    let mut transaction = store::begin(&app.pool).await?;
    // One withdrawal at a time: a repeat that comes at once finds the first.
    let turn = store::journal::begin(&mut transaction).await?;
    let same = Filter { external_id: Some(&input.external_id), ..Filter::default() };
    let found = store::withdrawals::list(&mut transaction, workspace.id, same, 1).await?;
    if let Some(found) = found.into_iter().next() {
        let is_same = found.creator_id == input.creator_id
            && found.amount_minor == input.amount_minor
            && found.method == input.method.code();
        let clash = || ApiError::conflict("another withdrawal has this external_id");
        return is_same.then(|| Json(json!({ "withdrawal": found })).into_response()).ok_or_else(clash);
    }
    let wallet = wallet_key(workspace, input.creator_id)?;
    let standing = lock_wallet(&mut transaction, wallet).await?;
    check(&mut transaction, workspace.id, input.creator_id, input.amount_minor, &standing).await?;
    let (id, at_ms) = (Uuid::now_v7(), now_ms());
    let new = NewWithdrawal {
        id,
        workspace: workspace.id,
        creator: input.creator_id,
        currency: &workspace.currency,
        amount_minor: input.amount_minor,
        method: input.method,
        external_id: &input.external_id,
        at_ms,
    };
    if !store::withdrawals::insert(&mut transaction, &new).await? {
        return Err(ApiError::not_found("creator"));
    }
    let status = WithdrawalStatus::Requested;
    let step = Step { withdrawal: id, sequence: 0, status, actor: &actor.name(), reason: None, at_ms };
    let shown =
        take_step(&mut transaction, turn, workspace, wallet, &standing, input.amount_minor, &step).await?;
    commit(actor, transaction, "request", "withdrawal", id, &json!(shown)).await?;
    Ok(created(json!({ "withdrawal": shown })))
}

/// Whether a creator may have `amount_minor` of a wallet that stands so.
pub(super) async fn check(
    transaction: &mut store::Transaction,
    workspace: Uuid,
    creator: Uuid,
    amount_minor: i64,
    standing: &Wallet,
) -> Result<(), ApiError> {
    let policy = store::wallets::policy(transaction, workspace).await?;
    let policy = WithdrawalPolicy {
        minimum_minor: policy.minimum_withdrawal_minor,
        required_documents: policy.required_documents,
    };
    let documents = store::withdrawals::approved_documents(transaction, creator).await?;
    let is_on_hold = store::withdrawals::is_on_hold(transaction, creator).await?;
    check_withdrawal(amount_minor, standing, &policy, &documents, is_on_hold).map_err(|refusal| {
        ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, refusal.code(), refusal.to_string())
    })
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StepInput {
    reason: Option<String>,
}

/// `approve`, `complete`, `fail` or `cancel`.
fn status_after(step: &str) -> Option<WithdrawalStatus> {
    Some(match step {
        "approve" => WithdrawalStatus::Processing,
        "complete" => WithdrawalStatus::Completed,
        "fail" => WithdrawalStatus::Failed,
        "cancel" => WithdrawalStatus::Cancelled,
        _ => return None,
    })
}

/// Moves a withdrawal forward. One that stands there already is left alone.
pub(crate) async fn step(
    State(app): State<Arc<App>>,
    InFinance(workspace): InFinance,
    Path((id, name)): Path<(Uuid, String)>,
    body: Body<StepInput>,
) -> Result<Response, ApiError> {
    let Json(input) = body?;
    let Some(status) = status_after(&name) else {
        let message = "a withdrawal's steps are approve, complete, fail and cancel";
        return Err(ApiError::new(StatusCode::NOT_FOUND, "unknown_path", message));
    };
    let mut transaction = store::begin(&app.pool).await?;
    let turn = store::journal::begin(&mut transaction).await?;
    let this = Filter { id: Some(id), ..Filter::default() };
    let found = store::withdrawals::list(&mut transaction, workspace.id, this, 1).await?;
    let found = found.into_iter().next().ok_or_else(|| ApiError::not_found("withdrawal"))?;
    let before = WithdrawalStatus::from_code(&found.status);
    if before == Some(status) {
        return Ok(Json(json!({ "withdrawal": found })).into_response());
    }
    if !before.is_some_and(|before| before.may_become(status)) {
        let message = format!("a withdrawal that is {} cannot become {}", found.status, status.code());
        return Err(ApiError::conflict(message));
    }
    if let Some(payout) = store::payouts::unsent_with(&mut transaction, id).await? {
        let message = format!("it is in payout {payout}, which moves it; settle that when it was sent");
        return Err(ApiError::conflict(message));
    }
    let wallet = wallet_key(&workspace, found.creator_id)?;
    let standing = lock_wallet(&mut transaction, wallet).await?;
    if status == WithdrawalStatus::Processing {
        // Much may have changed since it was asked for; its money is set aside.
        let aside = Wallet { available_minor: found.amount_minor, ..standing.clone() };
        check(&mut transaction, workspace.id, found.creator_id, found.amount_minor, &aside).await?;
    }
    let step = Step {
        withdrawal: id,
        sequence: found.sequence.saturating_add(1),
        status,
        actor: &workspace.actor.name(),
        reason: input.reason.as_deref(),
        at_ms: now_ms(),
    };
    let shown =
        take_step(&mut transaction, turn, &workspace, wallet, &standing, found.amount_minor, &step).await?;
    commit(&workspace.actor, transaction, &name, "withdrawal", id, &json!(shown)).await?;
    Ok(Json(json!({ "withdrawal": shown })).into_response())
}

pub(super) fn wallet_key(workspace: &WorkspaceRow, creator: Uuid) -> Result<WalletKey, ApiError> {
    let currency =
        Currency::new(&workspace.currency).map_err(|error| ApiError::invalid("currency", error))?;
    Ok(WalletKey { workspace: WorkspaceId(workspace.id), creator: UserId(creator), currency })
}

/// Locks a wallet; gives how it stands.
pub(super) async fn lock_wallet(
    transaction: &mut store::Transaction,
    wallet: WalletKey,
) -> Result<Wallet, ApiError> {
    let keys = BTreeSet::from([wallet]);
    store::wallets::lock(transaction, &keys).await?;
    let mut wallets = store::wallets::read(transaction, &keys).await?;
    Ok(wallets.remove(&wallet).unwrap_or_default())
}

/// Writes a step down, and what it moves; gives the withdrawal as it then is.
async fn take_step(
    transaction: &mut store::Transaction,
    turn: store::journal::Turn,
    workspace: &WorkspaceRow,
    wallet: WalletKey,
    standing: &Wallet,
    amount_minor: i64,
    step: &Step<'_>,
) -> Result<WithdrawalRow, ApiError> {
    store::withdrawals::insert_step(transaction, step).await?;
    let source = Source { id: step.withdrawal, leg: 0, at_ms: step.at_ms };
    let posting = withdrawal_step(step.status, amount_minor, standing.debt_minor, wallet, source)
        .map_err(|error| ApiError::invalid("amount_minor", error))?;
    store::journal::write(transaction, turn, posting.as_slice()).await?;
    let this = Filter { id: Some(step.withdrawal), ..Filter::default() };
    let rows = store::withdrawals::list(transaction, workspace.id, this, 1).await?;
    rows.into_iter().next().ok_or_else(|| ApiError::not_found("withdrawal"))
}

#[derive(Deserialize)]
pub(crate) struct ListQuery {
    creator: Option<Uuid>,
    status: Option<WithdrawalStatus>,
    #[serde(default = "default_limit")]
    limit: u16,
}

fn default_limit() -> u16 {
    100
}

pub(crate) async fn list(
    State(app): State<Arc<App>>,
    InFinance(workspace): InFinance,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(query) = query?;
    let filter = Filter { creator: query.creator, status: query.status, ..Filter::default() };
    let mut transaction = store::begin(&app.pool).await?;
    let limit = i64::from(query.limit.clamp(1, 1_000));
    let rows = store::withdrawals::list(&mut transaction, workspace.id, filter, limit).await?;
    Ok(Json(json!({ "withdrawals": rows })).into_response())
}
