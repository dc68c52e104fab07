//! Payouts: withdrawals that are sent together.

use domain::payout::{Account, Origin, PayoutStatus};
use domain::wallet::Method;
use serde::Serialize;
use sqlx::types::Json;
use uuid::Uuid;

use crate::{Connection, StoreError, sql};

/// Notes where a creator's money is sent; `false` if the workspace has no such
/// user.
///
/// # Errors
/// When the database fails.
pub async fn set_account(
    connection: &mut Connection,
    workspace: Uuid,
    creator: Uuid,
    account: &Account,
    actor: &str,
) -> Result<bool, StoreError> {
    let inserted = sqlx::query(sql!("payout_accounts/insert"))
        .bind(workspace)
        .bind(creator)
        .bind(account.kind())
        .bind(Json(account))
        .bind(actor)
        .execute(connection)
        .await?;
    Ok(inserted.rows_affected() == 1)
}

/// Notes the accounts that payouts leave from.
///
/// # Errors
/// When the database fails.
pub async fn set_origin(
    connection: &mut Connection,
    workspace: Uuid,
    origin: &Origin,
) -> Result<(), StoreError> {
    sqlx::query(sql!("payout_origins/insert")).bind(workspace).bind(Json(origin)).execute(connection).await?;
    Ok(())
}

/// The accounts that a payout leaves from which was approved at that moment; who
/// changes them later changes no payout.
///
/// # Errors
/// When the database fails.
pub async fn origin(
    connection: &mut Connection,
    workspace: Uuid,
    approved_at_ms: i64,
) -> Result<Origin, StoreError> {
    let origin: Option<Json<Origin>> = sqlx::query_scalar(sql!("payout_origins/current"))
        .bind(workspace)
        .bind(approved_at_ms)
        .fetch_optional(connection)
        .await?;
    Ok(origin.map(|Json(origin)| origin).unwrap_or_default())
}

/// A withdrawal that a payout may take.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Candidate {
    /// The withdrawal.
    pub id: Uuid,
    /// Whose money.
    pub creator_id: Uuid,
    /// How much.
    pub amount_minor: i64,
    /// Where it would be sent, if the creator has said so.
    #[sqlx(json(nullable))]
    pub account: Option<Account>,
}

/// Withdrawals by `method` that were asked for before `before_ms` and are in no
/// payout.
///
/// # Errors
/// When the database fails.
pub async fn candidates(
    connection: &mut Connection,
    workspace: Uuid,
    method: Method,
    currency: &str,
    before_ms: i64,
) -> Result<Vec<Candidate>, StoreError> {
    let candidates = sqlx::query_as(sql!("payouts/candidates"))
        .bind(workspace)
        .bind(method.code())
        .bind(currency)
        .bind(before_ms)
        .bind(Account::kind_for(method))
        .fetch_all(connection)
        .await?;
    Ok(candidates)
}

/// A payout to be proposed.
#[derive(Clone, Debug)]
pub struct NewPayout<'a> {
    /// Its id.
    pub id: Uuid,
    /// The tenant.
    pub workspace: Uuid,
    /// How it is sent.
    pub method: Method,
    /// Its currency.
    pub currency: &'a str,
    /// What payees read on their accounts.
    pub reference: &'a str,
    /// It takes what was asked for before.
    pub before_ms: i64,
    /// When it is proposed.
    pub at_ms: i64,
    /// By whom.
    pub actor: &'a str,
    /// What is in it: withdrawal, amount, account; not empty.
    pub items: &'a [(Uuid, i64, Account)],
}

/// Writes a proposed payout down.
///
/// # Errors
/// When the database fails, the reference is taken, or a withdrawal is in
/// another payout.
pub async fn insert(connection: &mut Connection, payout: &NewPayout<'_>) -> Result<(), StoreError> {
    let items = payout.items;
    let total_minor = items.iter().map(|(_, minor, _)| *minor).fold(0_i64, i64::saturating_add);
    sqlx::query(sql!("payouts/insert"))
        .bind(payout.id)
        .bind(payout.workspace)
        .bind(payout.method.code())
        .bind(payout.currency)
        .bind(payout.reference)
        .bind(payout.before_ms)
        .bind(i32::try_from(items.len()).unwrap_or(i32::MAX))
        .bind(total_minor)
        .bind(payout.at_ms)
        .execute(&mut *connection)
        .await?;
    sqlx::query(sql!("payout_items/insert"))
        .bind(payout.id)
        .bind(items.iter().map(|(id, ..)| *id).collect::<Vec<_>>())
        .bind(items.iter().map(|(_, minor, _)| *minor).collect::<Vec<_>>())
        .bind(items.iter().map(|(.., account)| Json(account)).collect::<Vec<_>>())
        .execute(&mut *connection)
        .await?;
    insert_step(connection, payout.id, 0, PayoutStatus::Proposed, payout.actor, payout.at_ms).await
}

/// Writes a step down.
///
/// # Errors
/// When the database fails, the step does not lead forward, or who approves is
/// who proposed.
pub async fn insert_step(
    connection: &mut Connection,
    payout: Uuid,
    sequence: i16,
    status: PayoutStatus,
    actor: &str,
    at_ms: i64,
) -> Result<(), StoreError> {
    sqlx::query(sql!("payout_states/insert"))
        .bind(payout)
        .bind(sequence)
        .bind(status.code())
        .bind(actor)
        .bind(at_ms)
        .execute(connection)
        .await?;
    Ok(())
}

/// A payout as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct PayoutRow {
    /// Its id.
    pub id: Uuid,
    /// How it is sent.
    pub method: String,
    /// Its currency.
    pub currency: String,
    /// What payees read on their accounts.
    pub reference: String,
    /// How many withdrawals are in it.
    pub item_count: i32,
    /// What they add up to.
    pub total_minor: i64,
    /// It took what was asked for before.
    pub before_ms: i64,
    /// When it was proposed.
    pub created_at_ms: i64,
    /// `proposed`, `approved`, `sent` or `cancelled`.
    pub status: String,
    /// The number of its last step.
    #[serde(skip)]
    pub sequence: i16,
    /// Who did that.
    pub actor: String,
    /// When.
    pub changed_at_ms: i64,
    /// When it was approved.
    pub approved_at_ms: Option<i64>,
    /// How many have arrived.
    pub completed_count: i64,
    /// How many came back.
    pub returned_count: i64,
}

/// The newest `limit` payouts of a workspace, or one of them.
///
/// # Errors
/// When the database fails.
pub async fn list(
    connection: &mut Connection,
    workspace: Uuid,
    payout: Option<Uuid>,
    limit: i64,
) -> Result<Vec<PayoutRow>, StoreError> {
    let rows = sqlx::query_as(sql!("payouts/list"))
        .bind(workspace)
        .bind(payout)
        .bind(limit)
        .fetch_all(connection)
        .await?;
    Ok(rows)
}

/// A withdrawal in a payout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct ItemRow {
    /// The withdrawal.
    pub withdrawal_id: Uuid,
    /// Whose money.
    pub creator_id: Uuid,
    /// How much.
    pub amount_minor: i64,
    /// Where it is sent.
    #[sqlx(json)]
    pub account: Account,
    /// Where the withdrawal stands.
    pub status: String,
    /// The number of its last step.
    #[serde(skip)]
    pub sequence: i16,
    /// Why it came back, if it did.
    pub reason: Option<String>,
}

/// The withdrawals of a payout, in the order of their ids.
///
/// # Errors
/// When the database fails.
pub async fn items(connection: &mut Connection, payout: Uuid) -> Result<Vec<ItemRow>, StoreError> {
    Ok(sqlx::query_as(sql!("payout_items/list")).bind(payout).fetch_all(connection).await?)
}

/// The payout that a withdrawal is in, if that was not sent yet.
///
/// # Errors
/// When the database fails.
pub async fn unsent_with(connection: &mut Connection, withdrawal: Uuid) -> Result<Option<Uuid>, StoreError> {
    Ok(sqlx::query_scalar(sql!("payout_items/unsent_in")).bind(withdrawal).fetch_optional(connection).await?)
}

/// A file that was made of a payout.
#[derive(Clone, Debug)]
pub struct NewFile<'a> {
    /// The payout.
    pub payout: Uuid,
    /// `csv`, `sepa` or `nacha`.
    pub format: &'a str,
    /// SHA-256 of its bytes.
    pub sha256: &'a [u8],
    /// How many payments it has.
    pub item_count: usize,
    /// What they add up to.
    pub total_minor: i64,
    /// Who asked for it.
    pub actor: &'a str,
}

/// Notes that a file was made.
///
/// # Errors
/// When the database fails.
pub async fn insert_file(connection: &mut Connection, file: &NewFile<'_>) -> Result<(), StoreError> {
    sqlx::query(sql!("payout_files/insert"))
        .bind(file.payout)
        .bind(file.format)
        .bind(file.sha256)
        .bind(i32::try_from(file.item_count).unwrap_or(i32::MAX))
        .bind(file.total_minor)
        .bind(file.actor)
        .execute(connection)
        .await?;
    Ok(())
}
