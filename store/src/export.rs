//! The ledger, in pages, for exports.

use uuid::Uuid;

use crate::{Connection, StoreError, sql};

/// Which part of the books is meant.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// This workspace; else all.
    pub workspace: Option<Uuid>,
    /// From this moment on (milliseconds since 1970).
    pub from_ms: i64,
    /// Before this moment.
    pub to_ms: i64,
}

/// An account, with what it held at both ends of a period.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct AccountRow {
    /// Its id.
    pub id: Uuid,
    /// Its workspace.
    pub workspace_id: Uuid,
    /// The workspace's slug, if it is known.
    pub workspace: Option<String>,
    /// Its kind.
    pub kind: String,
    /// Whose it is.
    pub owner_id: Uuid,
    /// Its currency.
    pub currency: String,
    /// The owner's name, if known.
    pub owner: Option<String>,
    /// The sum of its entries before the period.
    pub opening_minor: i64,
    /// Its stored balance, less the entries after the period.
    pub closing_minor: i64,
}

/// All accounts.
///
/// # Errors
/// When the database fails.
pub async fn accounts(connection: &mut Connection, part: Part) -> Result<Vec<AccountRow>, StoreError> {
    let rows = sqlx::query_as(sql!("ledger_accounts/export"))
        .bind(part.workspace)
        .bind(part.from_ms)
        .bind(part.to_ms)
        .fetch_all(connection)
        .await?;
    Ok(rows)
}

/// A line of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct LineRow {
    /// The transaction.
    pub transaction_id: Uuid,
    /// The tenant.
    pub workspace_id: Uuid,
    /// What it is for.
    pub kind: String,
    /// What it came of.
    pub source_id: Uuid,
    /// The leg of that.
    pub leg: i16,
    /// Its time, milliseconds since 1970.
    pub at_ms: i64,
    /// The line's number, from 0.
    pub line: i16,
    /// The account.
    pub account_id: Uuid,
    /// Credit above zero, debit below.
    pub amount_minor: i64,
    /// Its currency.
    pub currency: String,
}

/// The lines of the next `limit` transactions after one, in the order of time.
///
/// # Errors
/// When the database fails.
pub async fn lines_after(
    connection: &mut Connection,
    part: Part,
    after: Uuid,
    limit: i64,
) -> Result<Vec<LineRow>, StoreError> {
    let rows = sqlx::query_as(sql!("ledger_entries/export"))
        .bind(part.workspace)
        .bind(after)
        .bind(part.from_ms)
        .bind(part.to_ms)
        .bind(limit)
        .fetch_all(connection)
        .await?;
    Ok(rows)
}

/// The time of the latest transaction.
///
/// # Errors
/// When the database fails.
pub async fn latest_ms(connection: &mut Connection) -> Result<Option<i64>, StoreError> {
    Ok(sqlx::query_scalar(sql!("ledger_entries/latest")).fetch_one(connection).await?)
}
