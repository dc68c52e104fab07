//! Withdrawals, and what stands in their way.

use domain::wallet::{Method, WithdrawalStatus};
use serde::Serialize;
use uuid::Uuid;

use crate::{Connection, StoreError, sql};

/// A withdrawal that is asked for.
#[derive(Clone, Debug)]
pub struct NewWithdrawal<'a> {
    /// Its id.
    pub id: Uuid,
    /// The tenant.
    pub workspace: Uuid,
    /// Whose money.
    pub creator: Uuid,
    /// Its currency.
    pub currency: &'a str,
    /// How much.
    pub amount_minor: i64,
    /// How it is sent.
    pub method: Method,
    /// The caller's own number for it; the same number withdraws once.
    pub external_id: &'a str,
    /// When it was asked for.
    pub at_ms: i64,
}

/// Writes a withdrawal down; `false` if the workspace has no such creator.
///
/// # Errors
/// When the database fails, or the number was used before.
pub async fn insert(connection: &mut Connection, new: &NewWithdrawal<'_>) -> Result<bool, StoreError> {
    let inserted = sqlx::query(sql!("withdrawals/insert"))
        .bind(new.id)
        .bind(new.workspace)
        .bind(new.creator)
        .bind(new.currency)
        .bind(new.amount_minor)
        .bind(new.method.code())
        .bind(new.external_id)
        .bind(new.at_ms)
        .execute(connection)
        .await?;
    Ok(inserted.rows_affected() == 1)
}

/// A step of a withdrawal.
#[derive(Clone, Debug)]
pub struct Step<'a> {
    /// The withdrawal.
    pub withdrawal: Uuid,
    /// The number of the step, from 0.
    pub sequence: i16,
    /// Where it stands then.
    pub status: WithdrawalStatus,
    /// Who did it.
    pub actor: &'a str,
    /// Why, if anything is to be said.
    pub reason: Option<&'a str>,
    /// When.
    pub at_ms: i64,
}

/// Writes a step down.
///
/// # Errors
/// When the database fails, or the step does not lead forward.
pub async fn insert_step(connection: &mut Connection, step: &Step<'_>) -> Result<(), StoreError> {
    sqlx::query(sql!("withdrawal_states/insert"))
        .bind(step.withdrawal)
        .bind(step.sequence)
        .bind(step.status.code())
        .bind(step.actor)
        .bind(step.reason)
        .bind(step.at_ms)
        .execute(connection)
        .await?;
    Ok(())
}

/// A withdrawal as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct WithdrawalRow {
    /// Its id.
    pub id: Uuid,
    /// Whose money.
    pub creator_id: Uuid,
    /// Its currency.
    pub currency: String,
    /// How much.
    pub amount_minor: i64,
    /// How it is sent.
    pub method: String,
    /// The caller's own number.
    pub external_id: String,
    /// Where it stands.
    pub status: String,
    /// The number of its last step.
    #[serde(skip)]
    pub sequence: i16,
    /// Who did that.
    pub actor: String,
    /// Why, if anything was said.
    pub reason: Option<String>,
    /// When it was asked for.
    pub created_at_ms: i64,
    /// When it came to stand there.
    pub changed_at_ms: i64,
}

/// Which withdrawals are meant; nothing set: all of the workspace.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter<'a> {
    /// This one.
    pub id: Option<Uuid>,
    /// This creator's.
    pub creator: Option<Uuid>,
    /// Those that stand there.
    pub status: Option<WithdrawalStatus>,
    /// The one with the caller's own number.
    pub external_id: Option<&'a str>,
}

/// The newest `limit` of a workspace's withdrawals that `filter` means.
///
/// # Errors
/// When the database fails.
pub async fn list(
    connection: &mut Connection,
    workspace: Uuid,
    filter: Filter<'_>,
    limit: i64,
) -> Result<Vec<WithdrawalRow>, StoreError> {
    let rows = sqlx::query_as(sql!("withdrawals/list"))
        .bind(workspace)
        .bind(filter.id)
        .bind(filter.creator)
        .bind(filter.status.map(WithdrawalStatus::code))
        .bind(filter.external_id)
        .bind(limit)
        .fetch_all(connection)
        .await?;
    Ok(rows)
}

/// Notes a creator's document; `false` if the workspace has no such creator.
///
/// # Errors
/// When the database fails.
pub async fn set_document(
    connection: &mut Connection,
    workspace: Uuid,
    creator: Uuid,
    kind: &str,
    status: &str,
) -> Result<bool, StoreError> {
    let inserted = sqlx::query(sql!("creator_documents/insert"))
        .bind(workspace)
        .bind(creator)
        .bind(kind)
        .bind(status)
        .execute(connection)
        .await?;
    Ok(inserted.rows_affected() == 1)
}

/// The kinds of a creator's approved documents.
///
/// # Errors
/// When the database fails.
pub async fn approved_documents(
    connection: &mut Connection,
    creator: Uuid,
) -> Result<Vec<String>, StoreError> {
    Ok(sqlx::query_scalar(sql!("creator_documents/approved")).bind(creator).fetch_all(connection).await?)
}

/// Puts payouts to a creator on hold, or not any more; `false` if the workspace
/// has no such creator.
///
/// # Errors
/// When the database fails.
pub async fn set_hold(
    connection: &mut Connection,
    workspace: Uuid,
    creator: Uuid,
    is_on_hold: bool,
    reason: &str,
) -> Result<bool, StoreError> {
    let inserted = sqlx::query(sql!("payout_holds/insert"))
        .bind(workspace)
        .bind(creator)
        .bind(is_on_hold)
        .bind(reason)
        .execute(connection)
        .await?;
    Ok(inserted.rows_affected() == 1)
}

/// Whether payouts to a creator are on hold.
///
/// # Errors
/// When the database fails.
pub async fn is_on_hold(connection: &mut Connection, creator: Uuid) -> Result<bool, StoreError> {
    let row: Option<bool> =
        sqlx::query_scalar(sql!("payout_holds/current")).bind(creator).fetch_optional(connection).await?;
    Ok(row.unwrap_or_default())
}
