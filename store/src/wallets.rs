//! Creators' money: what is held until when, available, and owed.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use domain::ids::{UserId, WorkspaceId};
use domain::ledger::AccountKind;
use domain::ledger::postings::WalletKey;
use domain::wallet::Wallet;
use serde::Serialize;
use uuid::Uuid;

use crate::{Connection, StoreError, currency, sql};

/// Amounts by wallet and a moment, as columns.
struct Columns {
    workspaces: Vec<Uuid>,
    creators: Vec<Uuid>,
    currencies: Vec<String>,
    moments_ms: Vec<i64>,
    amounts_minor: Vec<i64>,
}

impl Columns {
    fn of<'a>(amounts: impl Iterator<Item = (&'a WalletKey, i64, i64)>) -> Self {
        let mut columns = Self {
            workspaces: Vec::new(),
            creators: Vec::new(),
            currencies: Vec::new(),
            moments_ms: Vec::new(),
            amounts_minor: Vec::new(),
        };
        for (wallet, moment_ms, amount_minor) in amounts {
            columns.workspaces.push(wallet.workspace.0);
            columns.creators.push(wallet.creator.0);
            columns.currencies.push(wallet.currency.to_string());
            columns.moments_ms.push(moment_ms);
            columns.amounts_minor.push(amount_minor);
        }
        columns
    }

    async fn execute(self, connection: &mut Connection, sql: &'static str) -> Result<(), StoreError> {
        sqlx::query(sql)
            .bind(self.workspaces)
            .bind(self.creators)
            .bind(self.currencies)
            .bind(self.moments_ms)
            .bind(self.amounts_minor)
            .execute(connection)
            .await?;
        Ok(())
    }
}

/// Holds what was earned: by wallet, and by when it was.
///
/// # Errors
/// When the database fails.
pub async fn hold(
    connection: &mut Connection,
    earned_minor: &BTreeMap<(WalletKey, i64), i64>,
) -> Result<(), StoreError> {
    if earned_minor.is_empty() {
        return Ok(());
    }
    let amounts = earned_minor.iter().map(|((wallet, at_ms), amount)| (wallet, *at_ms, *amount));
    Columns::of(amounts).execute(connection, sql!("wallet_buckets/hold")).await
}

/// No longer holds amounts, by wallet and until when they were held.
///
/// # Errors
/// When the database fails, or so much is not held.
pub async fn free(connection: &mut Connection, freed: &[(WalletKey, i64, i64)]) -> Result<(), StoreError> {
    if freed.is_empty() {
        return Ok(());
    }
    let amounts = freed.iter().map(|(wallet, until_ms, amount)| (wallet, *until_ms, *amount));
    Columns::of(amounts).execute(connection, sql!("wallet_buckets/free")).await
}

/// Until when earnings of these workspaces and moments are held.
///
/// # Errors
/// When the database fails.
pub async fn held_until(
    connection: &mut Connection,
    earned: impl Iterator<Item = (WorkspaceId, i64)>,
) -> Result<Vec<i64>, StoreError> {
    let (workspaces, moments): (Vec<Uuid>, Vec<i64>) = earned.map(|(w, at_ms)| (w.0, at_ms)).unzip();
    let until = sqlx::query_scalar(sql!("wallet_buckets/held_until"))
        .bind(workspaces)
        .bind(moments)
        .fetch_all(connection)
        .await?;
    Ok(until)
}

/// A wallet's row of whatever table.
#[derive(sqlx::FromRow)]
struct KeyRow {
    workspace_id: Uuid,
    creator_id: Uuid,
    currency: String,
}

impl KeyRow {
    fn key(&self) -> Result<WalletKey, StoreError> {
        Ok(WalletKey {
            workspace: WorkspaceId(self.workspace_id),
            creator: UserId(self.creator_id),
            currency: currency("wallet_buckets", &self.currency)?,
        })
    }
}

/// Locks wallets, for whoever decides by how they stand.
///
/// # Errors
/// When the database fails.
pub async fn lock(connection: &mut Connection, keys: &BTreeSet<WalletKey>) -> Result<(), StoreError> {
    crate::ledger::lock_accounts(connection, &keys.iter().flat_map(WalletKey::balances).collect()).await
}

/// The wallets as they stand; the caller has locked them.
///
/// # Errors
/// When the database fails.
pub async fn read(
    connection: &mut Connection,
    keys: &BTreeSet<WalletKey>,
) -> Result<HashMap<WalletKey, Wallet>, StoreError> {
    #[derive(sqlx::FromRow)]
    struct BalanceRow {
        #[sqlx(flatten)]
        key: KeyRow,
        kind: String,
        balance_minor: i64,
    }
    #[derive(sqlx::FromRow)]
    struct OpenRow {
        #[sqlx(flatten)]
        key: KeyRow,
        held_until_ms: i64,
        amount_minor: i64,
    }
    let mut wallets: HashMap<WalletKey, Wallet> = keys.iter().map(|key| (*key, Wallet::default())).collect();
    let kinds = [AccountKind::CreatorAvailable, AccountKind::CreatorDebt];
    let accounts = keys.iter().flat_map(|key| kinds.map(|kind| key.account(kind).id().0));
    let balances: Vec<BalanceRow> = sqlx::query_as(sql!("ledger_accounts/wallets"))
        .bind(accounts.collect::<Vec<_>>())
        .fetch_all(&mut *connection)
        .await?;
    for row in balances {
        let Some(wallet) = wallets.get_mut(&row.key.key()?) else { continue };
        if row.kind == AccountKind::CreatorAvailable.code() {
            wallet.available_minor = row.balance_minor;
        } else {
            wallet.debt_minor = row.balance_minor.saturating_neg();
        }
    }
    let creators: Vec<Uuid> = keys.iter().map(|key| key.creator.0).collect();
    let open: Vec<OpenRow> =
        sqlx::query_as(sql!("wallet_buckets/open")).bind(creators).fetch_all(connection).await?;
    for row in open {
        if let Some(wallet) = wallets.get_mut(&row.key.key()?) {
            wallet.held_minor.insert(row.held_until_ms, row.amount_minor);
        }
    }
    Ok(wallets)
}

/// Wallets with holds that have ended by `now_ms`, of about `limit` buckets.
///
/// # Errors
/// When the database fails.
pub async fn due(
    connection: &mut Connection,
    now_ms: i64,
    limit: i64,
) -> Result<BTreeSet<WalletKey>, StoreError> {
    let rows: Vec<KeyRow> =
        sqlx::query_as(sql!("wallet_buckets/due")).bind(now_ms).bind(limit).fetch_all(connection).await?;
    rows.iter().map(KeyRow::key).collect()
}

/// What was held until a moment that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Its id.
    pub id: Uuid,
    /// Whose.
    pub wallet: WalletKey,
    /// Until when it was held.
    pub held_until_ms: i64,
    /// How much.
    pub amount_minor: i64,
}

/// The buckets of `wallets` whose holds have ended by `now_ms`, oldest first,
/// locked.
///
/// # Errors
/// When the database fails.
pub async fn lock_due(
    connection: &mut Connection,
    now_ms: i64,
    wallets: &BTreeSet<WalletKey>,
) -> Result<Vec<Bucket>, StoreError> {
    #[derive(sqlx::FromRow)]
    struct BucketRow {
        id: Uuid,
        #[sqlx(flatten)]
        key: KeyRow,
        held_until_ms: i64,
        amount_minor: i64,
    }
    let creators: Vec<Uuid> = wallets.iter().map(|key| key.creator.0).collect();
    let rows: Vec<BucketRow> = sqlx::query_as(sql!("wallet_buckets/lock_due"))
        .bind(now_ms)
        .bind(creators)
        .fetch_all(connection)
        .await?;
    let mut buckets = Vec::with_capacity(rows.len());
    for row in rows {
        let wallet = row.key.key()?;
        if wallets.contains(&wallet) {
            let BucketRow { id, held_until_ms, amount_minor, .. } = row;
            buckets.push(Bucket { id, wallet, held_until_ms, amount_minor });
        }
    }
    Ok(buckets)
}

/// Closes buckets, each with the transaction that released it, if it held
/// anything.
///
/// # Errors
/// When the database fails.
pub async fn close(
    connection: &mut Connection,
    now_ms: i64,
    buckets: &[(Uuid, Option<Uuid>)],
) -> Result<(), StoreError> {
    let (ids, transactions): (Vec<Uuid>, Vec<Option<Uuid>>) = buckets.iter().copied().unzip();
    sqlx::query(sql!("wallet_buckets/release"))
        .bind(now_ms)
        .bind(ids)
        .bind(transactions)
        .execute(connection)
        .await?;
    Ok(())
}

/// How a workspace treats earnings and withdrawals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct PolicyRow {
    /// From 1; 0 if the workspace has set none.
    pub version: i32,
    /// How many days earnings are held.
    pub hold_days: i32,
    /// The least that is sent.
    pub minimum_withdrawal_minor: i64,
    /// What a creator must have shown.
    pub required_documents: Vec<String>,
}

/// Earnings of a workspace that sets no policy are held this many days.
pub const DEFAULT_HOLD_DAYS: i32 = 7;

/// The workspace's policy now in force.
///
/// # Errors
/// When the database fails.
pub async fn policy(connection: &mut Connection, workspace: Uuid) -> Result<PolicyRow, StoreError> {
    let row =
        sqlx::query_as(sql!("workspace_policies/current")).bind(workspace).fetch_optional(connection).await?;
    Ok(row.unwrap_or(PolicyRow {
        version: 0,
        hold_days: DEFAULT_HOLD_DAYS,
        minimum_withdrawal_minor: 0,
        required_documents: Vec::new(),
    }))
}

/// Sets a workspace's policy; gives its version, and from when it holds.
///
/// # Errors
/// When the database fails.
pub async fn set_policy(
    connection: &mut Connection,
    workspace: Uuid,
    policy: &PolicyRow,
) -> Result<(i32, i64), StoreError> {
    let row = sqlx::query_as(sql!("workspace_policies/insert"))
        .bind(workspace)
        .bind(policy.hold_days)
        .bind(policy.minimum_withdrawal_minor)
        .bind(&policy.required_documents)
        .fetch_one(connection)
        .await?;
    Ok(row)
}
