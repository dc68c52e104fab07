//! Payouts: proposed by one person, approved by another, sent as a file, and
//! settled when they have arrived or come back.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use domain::ledger::Transaction;
use domain::ledger::postings::{Source, WalletKey};
use domain::money::Currency;
use domain::payout::{Account, FileError, Item, Origin, Payout, PayoutStatus, nacha, sepa, table};
use domain::timestamp::read_moment;
use domain::wallet::{Method, Wallet, WithdrawalStatus, withdrawal_step};
use runtime::clock::now_ms;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use store::payouts::{ItemRow, NewFile, NewPayout, PayoutRow};
use store::withdrawals::Step;
use uuid::Uuid;

use crate::access::{Actor, InFinance, Tenant};
use crate::control::withdrawals::{check, lock_wallet, wallet_key};
use crate::control::{Body, commit, created};
use crate::error::ApiError;
use crate::server::App;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProposalInput {
    method: Method,
    reference: String,
    /// A day or a moment: it takes what was asked for before; now, if absent.
    before: Option<String>,
}

/// Proposes to send all withdrawals by a method that are asked for, and may be
/// sent. Says which may not, and why.
pub(crate) async fn propose(
    State(app): State<Arc<App>>,
    InFinance(workspace): InFinance,
    body: Body<ProposalInput>,
) -> Result<Response, ApiError> {
    let Json(input) = body?;
    let length = input.reference.chars().count();
    if !(1..=35).contains(&length) || input.reference.chars().any(char::is_control) {
        return Err(ApiError::invalid("reference", "must have 1 to 35 characters"));
    }
    if input.method == Method::Wallet {
        return Err(ApiError::invalid("method", "what is spent on the platform is not sent"));
    }
    let before_ms = match &input.before {
        None => now_ms(),
        Some(text) => read_moment(text)
            .ok_or_else(|| ApiError::invalid("before", "write 2026-02-01 or 2026-02-01T00:00:00Z"))?,
    };
    let mut transaction = store::begin(&app.pool).await?;
    let _turn = store::journal::begin(&mut transaction).await?;
    let (currency, method) = (workspace.currency.as_str(), input.method);
    let candidates =
        store::payouts::candidates(&mut transaction, workspace.id, method, currency, before_ms).await?;
    lock_wallets(&mut transaction, &workspace, candidates.iter().map(|c| c.creator_id)).await?;
    let (mut items, mut left_out) = (Vec::new(), Vec::new());
    for candidate in candidates {
        let mut leave_out = |reason: &str, message: String| {
            left_out.push(json!({ "withdrawal_id": candidate.id, "creator_id": candidate.creator_id,
                "reason": reason, "message": message }));
        };
        let Some(account) = candidate.account else {
            let kind = Account::kind_for(method);
            leave_out("no_account", format!("the creator has named no account of the kind {kind}"));
            continue;
        };
        match may_be_sent(&mut transaction, &workspace, candidate.creator_id, candidate.amount_minor).await {
            Ok(()) => items.push((candidate.id, candidate.amount_minor, account)),
            Err(refusal) if refusal.is_about_the_request() => {
                leave_out(refusal.reason(), refusal.to_string());
            }
            Err(error) => return Err(error),
        }
    }
    if items.is_empty() {
        let message =
            format!("nothing to send: {} withdrawals were left out: {}", left_out.len(), json!(left_out));
        return Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "nothing_to_send", message));
    }
    let (id, actor) = (Uuid::now_v7(), workspace.actor.name());
    let new = NewPayout {
        id,
        workspace: workspace.id,
        method,
        currency,
        reference: &input.reference,
        before_ms,
        at_ms: now_ms(),
        actor: &actor,
        items: &items,
    };
    store::payouts::insert(&mut transaction, &new).await?;
    let mut shown = shown(&mut transaction, &workspace, id).await?;
    shown["left_out"] = json!(left_out);
    commit(&workspace.actor, transaction, "propose", "payout", id, &shown).await?;
    Ok(created(shown))
}

/// Locks the wallets of `creators`, all at once: everybody locks in one order.
async fn lock_wallets(
    transaction: &mut store::Transaction,
    workspace: &Tenant,
    creators: impl Iterator<Item = Uuid>,
) -> Result<BTreeSet<WalletKey>, ApiError> {
    let keys = creators.map(|creator| wallet_key(workspace, creator)).collect::<Result<_, _>>()?;
    store::wallets::lock(transaction, &keys).await?;
    Ok(keys)
}

/// Whether a withdrawal that is set aside may be sent now.
async fn may_be_sent(
    transaction: &mut store::Transaction,
    workspace: &Tenant,
    creator: Uuid,
    amount_minor: i64,
) -> Result<(), ApiError> {
    let standing = lock_wallet(transaction, wallet_key(workspace, creator)?).await?;
    let aside = Wallet { available_minor: amount_minor, ..standing };
    check(transaction, workspace.id, creator, amount_minor, &aside).await
}

async fn find(
    transaction: &mut store::Transaction,
    workspace: &Tenant,
    id: Uuid,
) -> Result<(PayoutRow, Vec<ItemRow>), ApiError> {
    let found = store::payouts::list(transaction, workspace.id, Some(id), 1).await?;
    let payout = found.into_iter().next().ok_or_else(|| ApiError::not_found("payout"))?;
    Ok((payout, store::payouts::items(transaction, id).await?))
}

async fn shown(
    transaction: &mut store::Transaction,
    workspace: &Tenant,
    id: Uuid,
) -> Result<Value, ApiError> {
    let (payout, items) = find(transaction, workspace, id).await?;
    Ok(json!({ "payout": payout, "items": items }))
}

/// `approve`, `cancel` or `sent`.
fn status_after(step: &str) -> Option<PayoutStatus> {
    Some(match step {
        "approve" => PayoutStatus::Approved,
        "cancel" => PayoutStatus::Cancelled,
        "sent" => PayoutStatus::Sent,
        _ => return None,
    })
}

/// Moves a payout forward. One that stands there already is left alone.
pub(crate) async fn step(
    State(app): State<Arc<App>>,
    InFinance(workspace): InFinance,
    Path((id, name)): Path<(Uuid, String)>,
) -> Result<Response, ApiError> {
    let Some(status) = status_after(&name) else {
        let message = "a payout's steps are approve, cancel, sent and settle";
        return Err(ApiError::new(StatusCode::NOT_FOUND, "unknown_path", message));
    };
    let (at_ms, actor) = (now_ms(), workspace.actor.name());
    let mut transaction = store::begin(&app.pool).await?;
    let _turn = store::journal::begin(&mut transaction).await?;
    let (payout, items) = find(&mut transaction, &workspace, id).await?;
    let before = PayoutStatus::from_code(&payout.status);
    if before == Some(status) {
        return Ok(Json(json!({ "payout": payout, "items": items })).into_response());
    }
    if !before.is_some_and(|before| before.may_become(status)) {
        let message = format!("a payout that is {} cannot become {}", payout.status, status.code());
        return Err(ApiError::conflict(message));
    }
    if status == PayoutStatus::Approved {
        if Actor::person(&payout.actor) == Actor::person(&actor) {
            let message =
                format!("{actor} proposed it; somebody else must approve it, with a key of their own");
            return Err(ApiError::new(StatusCode::FORBIDDEN, "same_person", message));
        }
        approve_items(&mut transaction, &workspace, &items, &actor, at_ms).await?;
    }
    let sequence = payout.sequence.saturating_add(1);
    store::payouts::insert_step(&mut transaction, id, sequence, status, &actor, at_ms).await?;
    let shown = shown(&mut transaction, &workspace, id).await?;
    commit(&workspace.actor, transaction, &name, "payout", id, &shown).await?;
    Ok(Json(shown).into_response())
}

/// Much may have changed since it was proposed: one that may not be sent now
/// holds up the payout, until it is proposed without it.
async fn approve_items(
    transaction: &mut store::Transaction,
    workspace: &Tenant,
    items: &[ItemRow],
    actor: &str,
    at_ms: i64,
) -> Result<(), ApiError> {
    lock_wallets(transaction, workspace, items.iter().map(|item| item.creator_id)).await?;
    for item in items {
        may_be_sent(transaction, workspace, item.creator_id, item.amount_minor)
            .await
            .map_err(|refusal| refusal.about(&format!("withdrawal {}", item.withdrawal_id)))?;
        let step = Step {
            withdrawal: item.withdrawal_id,
            sequence: item.sequence.saturating_add(1),
            status: WithdrawalStatus::Processing,
            actor,
            reason: None,
            at_ms,
        };
        store::withdrawals::insert_step(transaction, &step).await?;
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SettlementInput {
    /// What came back, and why; all else that is on its way has arrived.
    #[serde(default)]
    returned: Vec<ReturnInput>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReturnInput {
    withdrawal_id: Uuid,
    reason: String,
}

/// Closes a sent payout by what the bank reports.
pub(crate) async fn settle(
    State(app): State<Arc<App>>,
    InFinance(workspace): InFinance,
    Path(id): Path<Uuid>,
    body: Body<SettlementInput>,
) -> Result<Response, ApiError> {
    let Json(input) = body?;
    let mut transaction = store::begin(&app.pool).await?;
    let turn = store::journal::begin(&mut transaction).await?;
    let (payout, items) = find(&mut transaction, &workspace, id).await?;
    if payout.status != PayoutStatus::Sent.code() {
        return Err(ApiError::conflict(format!("a payout that is {} is not on its way", payout.status)));
    }
    let returned: HashMap<Uuid, &str> =
        input.returned.iter().map(|item| (item.withdrawal_id, item.reason.as_str())).collect();
    let strange = returned.keys().find(|id| items.iter().all(|item| item.withdrawal_id != **id));
    if let Some(strange) = strange {
        return Err(ApiError::invalid("returned", format!("withdrawal {strange} is not in this payout")));
    }
    let arrived = items.iter().find(|item| {
        item.status == WithdrawalStatus::Completed.code() && returned.contains_key(&item.withdrawal_id)
    });
    if let Some(arrived) = arrived {
        let message = format!("withdrawal {} was settled as arrived, which is final", arrived.withdrawal_id);
        return Err(ApiError::conflict(message));
    }
    let open: Vec<&ItemRow> =
        items.iter().filter(|item| item.status == WithdrawalStatus::Processing.code()).collect();
    let postings = settle_items(&mut transaction, &workspace, &open, &returned).await?;
    store::journal::write(&mut transaction, turn, &postings).await?;
    let shown = shown(&mut transaction, &workspace, id).await?;
    commit(&workspace.actor, transaction, "settle", "payout", id, &shown).await?;
    Ok(Json(shown).into_response())
}

/// Writes each withdrawal's last step down; gives what they move.
async fn settle_items(
    transaction: &mut store::Transaction,
    workspace: &Tenant,
    items: &[&ItemRow],
    returned: &HashMap<Uuid, &str>,
) -> Result<Vec<Transaction>, ApiError> {
    let (at_ms, actor) = (now_ms(), workspace.actor.name());
    let keys = lock_wallets(transaction, workspace, items.iter().map(|item| item.creator_id)).await?;
    let mut wallets = store::wallets::read(transaction, &keys).await?;
    let mut postings = Vec::new();
    for item in items {
        let reason = returned.get(&item.withdrawal_id).copied();
        let status = if reason.is_some() { WithdrawalStatus::Failed } else { WithdrawalStatus::Completed };
        let (withdrawal, sequence) = (item.withdrawal_id, item.sequence.saturating_add(1));
        let step = Step { withdrawal, sequence, status, actor: &actor, reason, at_ms };
        store::withdrawals::insert_step(transaction, &step).await?;
        let key = wallet_key(workspace, item.creator_id)?;
        let wallet = wallets.entry(key).or_default();
        let source = Source { id: withdrawal, leg: 0, at_ms };
        let posting = withdrawal_step(status, item.amount_minor, wallet.debt_minor, key, source)
            .map_err(|error| ApiError::invalid("amount_minor", error))?;
        if status == WithdrawalStatus::Failed {
            wallet.debt_minor = wallet.debt_minor.saturating_sub(item.amount_minor).max(0);
        }
        postings.extend(posting);
    }
    Ok(postings)
}

pub(crate) async fn list(
    State(app): State<Arc<App>>,
    InFinance(workspace): InFinance,
) -> Result<Response, ApiError> {
    let mut transaction = store::begin(&app.pool).await?;
    let payouts = store::payouts::list(&mut transaction, workspace.id, None, 200).await?;
    Ok(Json(json!({ "payouts": payouts })).into_response())
}

pub(crate) async fn get(
    State(app): State<Arc<App>>,
    InFinance(workspace): InFinance,
    Path(id): Path<Uuid>,
) -> Result<Response, ApiError> {
    let mut transaction = store::begin(&app.pool).await?;
    Ok(Json(shown(&mut transaction, &workspace, id).await?).into_response())
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Format {
    Csv,
    Sepa,
    Nacha,
}

#[derive(Deserialize)]
pub(crate) struct FileQuery {
    format: Format,
}

/// The file for the bank; the same bytes each time.
pub(crate) async fn file(
    State(app): State<Arc<App>>,
    InFinance(workspace): InFinance,
    Path(id): Path<Uuid>,
    query: Result<Query<FileQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(FileQuery { format }) = query?;
    let mut transaction = store::begin(&app.pool).await?;
    let (row, items) = find(&mut transaction, &workspace, id).await?;
    let Some(approved_at_ms) = row.approved_at_ms else {
        return Err(ApiError::conflict("no file is made of a payout before it is approved"));
    };
    let origin = store::payouts::origin(&mut transaction, workspace.id, approved_at_ms).await?;
    let item = |item: ItemRow| Item {
        withdrawal: item.withdrawal_id,
        amount_minor: item.amount_minor,
        account: item.account,
    };
    let payout = Payout {
        id,
        reference: row.reference,
        currency: Currency::new(&row.currency).map_err(|error| ApiError::invalid("currency", error))?,
        approved_at_ms,
        items: items.into_iter().map(item).collect(),
    };
    let (name, kind, text) = made(format, &payout, &origin).map_err(|error| {
        ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "no_such_file", error.to_string())
    })?;
    let sha256 = Sha256::digest(text.as_bytes());
    let made = NewFile {
        payout: id,
        format: name,
        sha256: &sha256,
        item_count: payout.items.len(),
        total_minor: payout.total().amount_minor,
        actor: &workspace.actor.name(),
    };
    store::payouts::insert_file(&mut transaction, &made).await?;
    let audited = json!({ "format": name, "sha256": format!("{sha256:x}") });
    commit(&workspace.actor, transaction, "export", "payout", id, &audited).await?;
    Ok(([(CONTENT_TYPE, kind)], text).into_response())
}

/// A format's name, content type and file.
fn made(
    format: Format,
    payout: &Payout,
    origin: &Origin,
) -> Result<(&'static str, &'static str, String), FileError> {
    Ok(match format {
        Format::Csv => ("csv", "text/csv; charset=utf-8", table::file(payout)),
        Format::Sepa => {
            let origin = origin.sepa.as_ref().ok_or(FileError::NoOrigin { format: "sepa" })?;
            ("sepa", "application/xml", sepa::file(payout, origin)?)
        }
        Format::Nacha => {
            let origin = origin.nacha.as_ref().ok_or(FileError::NoOrigin { format: "nacha" })?;
            ("nacha", "text/plain; charset=us-ascii", nacha::file(payout, origin)?)
        }
    })
}
