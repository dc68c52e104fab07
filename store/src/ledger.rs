//! Budgets, accounts, transactions and entries.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use domain::budget::Budget;
use domain::chain::LineRecord;
use domain::command::{Closing, Command, Funding};
use domain::ids::{CampaignId, WorkspaceId};
use domain::ledger::{AccountKey, Transaction};
use serde::Serialize;
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::{Connection, Pool, StoreError, currency, sql};

#[derive(sqlx::FromRow)]
struct BudgetRow {
    campaign_id: Uuid,
    workspace_id: Uuid,
    currency: String,
    funded_minor: i64,
    available_minor: i64,
    spent_minor: i64,
    returned_minor: i64,
    exhausted_at_ms: Option<i64>,
    closed_at_ms: Option<i64>,
}

/// Makes those of `budgets` that there are not yet, so that they can be locked.
///
/// # Errors
/// When the database fails.
pub async fn ensure_budgets(connection: &mut Connection, budgets: &[Budget]) -> Result<(), StoreError> {
    if budgets.is_empty() {
        return Ok(());
    }
    sqlx::query(sql!("campaign_budgets/ensure"))
        .bind(budgets.iter().map(|budget| budget.campaign.0).collect::<Vec<_>>())
        .bind(budgets.iter().map(|budget| budget.workspace.0).collect::<Vec<_>>())
        .bind(budgets.iter().map(|budget| budget.currency.to_string()).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

/// The budgets of `campaigns` that exist, locked in the order of their ids.
///
/// # Errors
/// When the database fails.
pub async fn lock_budgets(
    connection: &mut Connection,
    campaigns: &[CampaignId],
) -> Result<BTreeMap<CampaignId, Budget>, StoreError> {
    if campaigns.is_empty() {
        return Ok(BTreeMap::new());
    }
    let ids: Vec<Uuid> = campaigns.iter().map(|id| id.0).collect();
    let rows: Vec<BudgetRow> =
        sqlx::query_as(sql!("campaign_budgets/lock")).bind(ids).fetch_all(connection).await?;
    rows.into_iter()
        .map(|row| {
            let campaign = CampaignId(row.campaign_id);
            let budget = Budget {
                campaign,
                workspace: WorkspaceId(row.workspace_id),
                currency: currency("campaign_budgets", &row.currency)?,
                funded_minor: row.funded_minor,
                available_minor: row.available_minor,
                spent_minor: row.spent_minor,
                returned_minor: row.returned_minor,
                exhausted_at_ms: row.exhausted_at_ms,
                closed_at_ms: row.closed_at_ms,
            };
            Ok((campaign, budget))
        })
        .collect()
}

/// Writes budgets back; those that exist are locked by the caller.
///
/// # Errors
/// When the database fails.
pub async fn save_budgets<'a>(
    connection: &mut Connection,
    budgets: impl Iterator<Item = &'a Budget> + Clone,
) -> Result<(), StoreError> {
    if budgets.clone().next().is_none() {
        return Ok(());
    }
    macro_rules! column {
        ($budget:ident => $value:expr) => {
            budgets.clone().map(|$budget| $value).collect::<Vec<_>>()
        };
    }
    sqlx::query(sql!("campaign_budgets/save"))
        .bind(column!(b => b.campaign.0))
        .bind(column!(b => b.workspace.0))
        .bind(column!(b => b.currency.to_string()))
        .bind(column!(b => b.funded_minor))
        .bind(column!(b => b.available_minor))
        .bind(column!(b => b.spent_minor))
        .bind(column!(b => b.returned_minor))
        .bind(column!(b => b.exhausted_at_ms))
        .bind(column!(b => b.closed_at_ms))
        .execute(connection)
        .await?;
    Ok(())
}

/// Writes fundings down.
///
/// # Errors
/// When the database fails.
pub async fn insert_fundings(
    connection: &mut Connection,
    batch: i64,
    fundings: &[Funding],
) -> Result<(), StoreError> {
    if fundings.is_empty() {
        return Ok(());
    }
    macro_rules! column {
        ($funding:ident => $value:expr) => {
            fundings.iter().map(|$funding| $value).collect::<Vec<_>>()
        };
    }
    sqlx::query(sql!("fundings/insert"))
        .bind(batch)
        .bind(column!(f => f.id()))
        .bind(column!(f => f.workspace.0))
        .bind(column!(f => f.campaign.0))
        .bind(column!(f => f.external_id.as_str()))
        .bind(column!(f => f.money.amount_minor))
        .bind(column!(f => f.money.currency.to_string()))
        .bind(column!(f => f.payload_hash()))
        .bind(column!(f => f.at_ms))
        .bind(column!(f => f.boost.map(|boost| boost.supporter.0)))
        .bind(column!(f => f.boost.map_or(0, |boost| boost.reward_minor)))
        .execute(connection)
        .await?;
    Ok(())
}

/// Writes closings down.
///
/// # Errors
/// When the database fails.
pub async fn insert_closings(
    connection: &mut Connection,
    batch: i64,
    closings: &[(Closing, i64)],
) -> Result<(), StoreError> {
    if closings.is_empty() {
        return Ok(());
    }
    macro_rules! column {
        ($closing:ident => $value:expr) => {
            closings.iter().map(|$closing| $value).collect::<Vec<_>>()
        };
    }
    sqlx::query(sql!("closings/insert"))
        .bind(batch)
        .bind(column!(c => c.0.id()))
        .bind(column!(c => c.0.workspace.0))
        .bind(column!(c => c.0.campaign.0))
        .bind(column!(c => c.1))
        .bind(column!(c => c.0.currency.to_string()))
        .bind(column!(c => c.0.payload_hash()))
        .bind(column!(c => c.0.at_ms))
        .execute(connection)
        .await?;
    Ok(())
}

/// What became of a funding or closing that was sent to settlement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandState {
    /// Not settled yet.
    Waiting,
    /// In the books.
    Posted,
    /// Refused.
    Quarantined {
        /// Why.
        reason: String,
    },
}

/// What became of a funding or closing.
///
/// # Errors
/// When the database fails.
pub async fn command_state(pool: &Pool, command: &Command) -> Result<CommandState, StoreError> {
    let row: Option<(String, String)> = sqlx::query_as(sql!("campaign_budgets/command_state"))
        .bind(command.id().0)
        .bind(command.payload_hash())
        .fetch_optional(pool)
        .await?;
    Ok(match row {
        None => CommandState::Waiting,
        Some((state, _)) if state == "posted" => CommandState::Posted,
        Some((_, reason)) => CommandState::Quarantined { reason },
    })
}

/// Makes the ledger's partitions for `months` ahead; gives how many were new.
///
/// # Errors
/// When the database fails.
pub async fn ensure_partitions(pool: &Pool, months: i32) -> Result<i32, StoreError> {
    let made = sqlx::query_scalar(sql!("ledger_transactions/ensure_partitions"));
    Ok(made.bind(months).fetch_one(pool).await?)
}

/// Writes transactions and their `lines` down, and moves the balances of
/// `changes`, in lock order.
///
/// # Errors
/// When the database fails, or a balance would go on the wrong side of zero.
pub async fn post(
    connection: &mut Connection,
    batch: i64,
    transactions: &[Transaction],
    lines: &[LineRecord],
    changes: &BTreeMap<AccountKey, i64>,
) -> Result<(), StoreError> {
    if transactions.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = changes.keys().map(|key| key.id().0).collect();
    ensure_accounts(connection, changes.keys()).await?;
    insert_transactions(connection, batch, transactions).await?;
    insert_entries(connection, lines).await?;
    sqlx::query(sql!("ledger_accounts/lock")).bind(&ids).execute(&mut *connection).await?;
    sqlx::query(sql!("ledger_accounts/add"))
        .bind(&ids)
        .bind(changes.values().copied().collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

/// Makes those of `accounts` that there are not yet.
async fn ensure_accounts<'a>(
    connection: &mut Connection,
    accounts: impl Iterator<Item = &'a AccountKey> + Clone,
) -> Result<(), StoreError> {
    macro_rules! column {
        ($account:ident => $value:expr) => {
            accounts.clone().map(|$account| $value).collect::<Vec<_>>()
        };
    }
    sqlx::query(sql!("ledger_accounts/ensure"))
        .bind(column!(a => a.id().0))
        .bind(column!(a => a.workspace.0))
        .bind(column!(a => a.kind.code()))
        .bind(column!(a => a.owner))
        .bind(column!(a => a.currency.to_string()))
        .execute(connection)
        .await?;
    Ok(())
}

/// Locks `accounts`, made if there are none yet, for whoever decides by their
/// balances.
///
/// # Errors
/// When the database fails.
pub async fn lock_accounts(
    connection: &mut Connection,
    accounts: &BTreeSet<AccountKey>,
) -> Result<(), StoreError> {
    ensure_accounts(connection, accounts.iter()).await?;
    let ids: Vec<Uuid> = accounts.iter().map(|key| key.id().0).collect();
    sqlx::query(sql!("ledger_accounts/lock")).bind(ids).execute(connection).await?;
    Ok(())
}

async fn insert_transactions(
    connection: &mut Connection,
    batch: i64,
    transactions: &[Transaction],
) -> Result<(), StoreError> {
    macro_rules! column {
        ($transaction:ident => $value:expr) => {
            transactions.iter().map(|$transaction| $value).collect::<Vec<_>>()
        };
    }
    sqlx::query(sql!("ledger_transactions/insert"))
        .bind(batch)
        .bind(column!(t => t.id().0))
        .bind(column!(t => t.workspace().0))
        .bind(column!(t => t.kind().code()))
        .bind(column!(t => t.source()))
        .bind(column!(t => i16::try_from(t.leg()).unwrap_or(i16::MAX)))
        .bind(column!(t => t.at_ms()))
        .execute(connection)
        .await?;
    Ok(())
}

async fn insert_entries(connection: &mut Connection, lines: &[LineRecord]) -> Result<(), StoreError> {
    sqlx::query(sql!("ledger_entries/insert"))
        .bind(lines.iter().map(|l| l.transaction).collect::<Vec<_>>())
        .bind(lines.iter().map(|l| l.line).collect::<Vec<_>>())
        .bind(lines.iter().map(|l| l.account).collect::<Vec<_>>())
        .bind(lines.iter().map(|l| l.amount_minor).collect::<Vec<_>>())
        .bind(lines.iter().map(|l| l.currency.code()).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

/// An account's balance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct Balance {
    /// The account's kind.
    pub kind: String,
    /// Its currency.
    pub currency: String,
    /// Minor units.
    pub balance_minor: i64,
}

/// The accounts of an owner within a workspace.
///
/// # Errors
/// When the database fails.
pub async fn balances(
    from: impl PgExecutor<'_>,
    workspace: Uuid,
    owner: Uuid,
) -> Result<Vec<Balance>, StoreError> {
    let balances =
        sqlx::query_as(sql!("ledger_accounts/of_owner")).bind(workspace).bind(owner).fetch_all(from).await?;
    Ok(balances)
}

/// A line of a transaction, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct EntryRow {
    /// Its number, from 0.
    pub line: i16,
    /// The account's kind.
    pub account_kind: String,
    /// The account's owner.
    pub owner_id: Uuid,
    /// Credit above zero, debit below.
    pub amount_minor: i64,
    /// Its currency.
    pub currency: String,
}

/// The lines of a transaction.
///
/// # Errors
/// When the database fails.
pub async fn entries(pool: &Pool, transaction: Uuid) -> Result<Vec<EntryRow>, StoreError> {
    let entries =
        sqlx::query_as(sql!("ledger_entries/of_transaction")).bind(transaction).fetch_all(pool).await?;
    Ok(entries)
}

/// What each budget has spent, by campaign.
///
/// # Errors
/// When the database fails.
pub async fn spent(connection: &mut Connection) -> Result<HashMap<Uuid, i64>, StoreError> {
    let rows: Vec<(Uuid, i64)> = sqlx::query_as(sql!("campaign_budgets/spent")).fetch_all(connection).await?;
    Ok(rows.into_iter().collect())
}

/// The batches of those of `transactions` that are there.
///
/// # Errors
/// When the database fails.
pub async fn batches_of(
    connection: &mut Connection,
    transactions: &[Uuid],
) -> Result<HashMap<Uuid, i64>, StoreError> {
    let query = sqlx::query_as(sql!("ledger_transactions/batches_of")).bind(transactions);
    let rows: Vec<(Uuid, i64)> = query.fetch_all(connection).await?;
    Ok(rows.into_iter().collect())
}

/// Transactions that entries name and that are not there; a few of them.
///
/// # Errors
/// When the database fails.
pub async fn orphans(connection: &mut Connection) -> Result<Vec<Uuid>, StoreError> {
    Ok(sqlx::query_scalar(sql!("ledger_entries/orphans")).fetch_all(connection).await?)
}
