//! Statements: what a creator was owed, earned, gave back and was paid.

use domain::ledger::postings::WalletKey;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::{Connection, StoreError, sql};

/// A statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct StatementRow {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub creator_id: Uuid,
    /// Their name.
    pub display_name: String,
    /// Their address.
    pub email: String,
    /// Its currency.
    pub currency: String,
    /// Its number, from 1.
    pub sequence: i32,
    /// The end of the one before; none before the first.
    pub period_start_ms: Option<i64>,
    /// What happened before this is on it.
    pub period_end_ms: i64,
    /// What was owed before it.
    pub opening_minor: i64,
    /// What was owed after it.
    pub closing_minor: i64,
    /// Who issued it.
    pub issued_by: String,
    /// When.
    pub issued_at_ms: i64,
}

/// A line of a statement.
#[derive(Clone, Debug, PartialEq, Serialize, sqlx::FromRow)]
pub struct StatementLineRow {
    /// Its number, from 1.
    pub line: i32,
    /// The ledger transaction behind it.
    pub transaction_id: Uuid,
    /// `credit`, `clawback` or `paid`.
    pub kind: String,
    /// When it happened.
    pub at_ms: i64,
    /// By how much what is owed changed.
    pub amount_minor: i64,
    /// The conversion, refund or withdrawal behind it.
    pub detail: Value,
}

/// Which statements are meant; nothing set: all of the workspace.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter {
    /// This one.
    pub id: Option<Uuid>,
    /// This creator's.
    pub creator: Option<Uuid>,
    /// Those of the period that ends then.
    pub period_end_ms: Option<i64>,
}

/// The newest `limit` of a workspace's statements that `filter` means.
///
/// # Errors
/// When the database fails.
pub async fn list(
    connection: &mut Connection,
    workspace: Uuid,
    filter: Filter,
    limit: i64,
) -> Result<Vec<StatementRow>, StoreError> {
    let rows = sqlx::query_as(sql!("statements/list"))
        .bind(workspace)
        .bind(filter.id)
        .bind(filter.creator)
        .bind(filter.period_end_ms)
        .bind(limit)
        .fetch_all(connection)
        .await?;
    Ok(rows)
}

/// The end of a wallet's last period.
///
/// # Errors
/// When the database fails.
pub async fn latest_end_ms(
    connection: &mut Connection,
    wallet: WalletKey,
) -> Result<Option<i64>, StoreError> {
    let end = sqlx::query_scalar(sql!("statements/latest_end"))
        .bind(wallet.creator.0)
        .bind(wallet.currency.to_string())
        .fetch_one(connection)
        .await?;
    Ok(end)
}

/// Issues a statement of all that happened before `period_end_ms` and is on none
/// yet. The caller has locked the wallet's accounts, so nothing is on its way.
///
/// # Errors
/// When the database fails, or there is one of that period.
pub async fn issue(
    connection: &mut Connection,
    id: Uuid,
    wallet: WalletKey,
    period_end_ms: i64,
    issued_by: &str,
) -> Result<(), StoreError> {
    let currency = wallet.currency.to_string();
    sqlx::query(sql!("statement_lines/issue"))
        .bind(id)
        .bind(wallet.workspace.0)
        .bind(wallet.creator.0)
        .bind(&currency)
        .bind(period_end_ms)
        .execute(&mut *connection)
        .await?;
    sqlx::query(sql!("statements/insert"))
        .bind(id)
        .bind(wallet.workspace.0)
        .bind(wallet.creator.0)
        .bind(&currency)
        .bind(period_end_ms)
        .bind(issued_by)
        .execute(connection)
        .await?;
    Ok(())
}

/// The lines of a statement.
///
/// # Errors
/// When the database fails.
pub async fn lines(connection: &mut Connection, id: Uuid) -> Result<Vec<StatementLineRow>, StoreError> {
    Ok(sqlx::query_as(sql!("statement_lines/list")).bind(id).fetch_all(connection).await?)
}
