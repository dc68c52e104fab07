//! Creators' accounts on social platforms, and readings on their way to ClickHouse.

use domain::social::{FetchError, Figures, Plan, Platform, next_attempt_ms};
use serde::Serialize;
use sqlx::types::Json;
use uuid::Uuid;

use crate::{Connection, Pool, StoreError, sql};

/// An account as it is shown.
#[derive(Clone, Debug, PartialEq, Serialize, sqlx::FromRow)]
pub struct AccountRow {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub creator_id: Uuid,
    /// Where.
    pub platform: String,
    /// The platform's own id of it.
    pub external_id: String,
    /// Its name there.
    pub handle: String,
    /// How often it is looked at.
    pub plan: String,
    /// Whether everybody may see its figures.
    pub is_published: bool,
    /// Whether it has a token of its own.
    pub has_token: bool,
    /// Until when that works, in milliseconds since 1970.
    pub token_expires_at_ms: Option<i64>,
    /// When it was last read.
    pub captured_at_ms: Option<i64>,
    /// What it had then.
    pub figures: Option<Json<Figures>>,
    /// When its figures were last fetched.
    pub fetched_at_ms: Option<i64>,
    /// When they are fetched next, or are due since; never, where absent.
    pub next_attempt_at_ms: Option<i64>,
    /// How many tries in a row have failed.
    pub failures: i32,
    /// Why the last one did, for machines.
    pub error_code: Option<String>,
    /// The same for people.
    pub error_message: Option<String>,
}

/// A token as it is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Token {
    /// The sealed token; none, where it is taken away.
    pub sealed: Option<Vec<u8>>,
    /// Until when it works, in milliseconds since 1970.
    pub expires_at_ms: Option<i64>,
}

/// An account to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAccount<'a> {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub creator: Uuid,
    /// Where.
    pub platform: Platform,
    /// The platform's own id of it.
    pub external_id: &'a str,
    /// Its name there.
    pub handle: &'a str,
    /// How often it is looked at.
    pub plan: Plan,
    /// Whether everybody may see its figures.
    pub is_published: bool,
    /// Its token.
    pub token: Token,
}

/// The id that this account of the creator's had before it was removed.
///
/// # Errors
/// When the database fails.
pub async fn find_removed(
    pool: &Pool,
    workspace: Uuid,
    creator: Uuid,
    platform: Platform,
    external_id: &str,
) -> Result<Option<Uuid>, StoreError> {
    let query = sqlx::query_scalar(sql!("social_accounts/find_removed"));
    Ok(query
        .bind(workspace)
        .bind(creator)
        .bind(platform.code())
        .bind(external_id)
        .fetch_optional(pool)
        .await?)
}

/// Makes an account, to be fetched at once, or brings it back under the id that it had;
/// `false` if the workspace has no such creator.
///
/// # Errors
/// When the database fails, or the account is there already.
pub async fn insert(
    connection: &mut Connection,
    workspace: Uuid,
    account: &NewAccount<'_>,
    now_ms: i64,
) -> Result<bool, StoreError> {
    let inserted = sqlx::query(sql!("social_accounts/insert"))
        .bind(account.id)
        .bind(workspace)
        .bind(account.creator)
        .bind(account.platform.code())
        .bind(account.external_id)
        .bind(account.handle)
        .bind(account.plan.code())
        .bind(account.is_published)
        .bind(&account.token.sealed)
        .bind(account.token.expires_at_ms)
        .bind(account.platform.is_fetched().then_some(now_ms))
        .execute(connection)
        .await?;
    Ok(inserted.rows_affected() == 1)
}

/// Which accounts are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Only this creator's.
    pub creator: Option<Uuid>,
    /// Only this one.
    pub id: Option<Uuid>,
    /// Only those that are due to be fetched.
    pub due: bool,
}

/// A workspace's accounts that are not removed.
///
/// # Errors
/// When the database fails.
pub async fn list(pool: &Pool, workspace: Uuid, wanted: Wanted) -> Result<Vec<AccountRow>, StoreError> {
    let query = sqlx::query_as(sql!("social_accounts/list"));
    Ok(query.bind(workspace).bind(wanted.creator).bind(wanted.id).bind(wanted.due).fetch_all(pool).await?)
}

/// What is changed of an account; what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change<'a> {
    /// Its name on the platform.
    pub handle: Option<&'a str>,
    /// How often it is looked at.
    pub plan: Option<Plan>,
    /// Whether everybody may see its figures.
    pub is_published: Option<bool>,
    /// Its token.
    pub token: Option<Token>,
}

/// Changes an account on `platform`; `false` if there is none.
///
/// # Errors
/// When the database fails.
pub async fn change(
    connection: &mut Connection,
    workspace: Uuid,
    id: Uuid,
    platform: Platform,
    change: &Change<'_>,
) -> Result<bool, StoreError> {
    let token = change.token.clone().unwrap_or_default();
    let changed = sqlx::query(sql!("social_accounts/change"))
        .bind(workspace)
        .bind(id)
        .bind(change.handle)
        .bind(change.plan.map(Plan::code))
        .bind(change.is_published)
        .bind(change.token.is_some())
        .bind(token.sealed)
        .bind(token.expires_at_ms)
        .bind(platform.is_fetched())
        .bind(change.plan.map(Plan::refresh_ms))
        .execute(connection)
        .await?;
    Ok(changed.rows_affected() == 1)
}

/// Removes an account, and its token; its history stays. `false` if there is none.
///
/// # Errors
/// When the database fails.
pub async fn remove(connection: &mut Connection, workspace: Uuid, id: Uuid) -> Result<bool, StoreError> {
    let removed = sqlx::query(sql!("social_accounts/remove")).bind(workspace).bind(id).execute(connection);
    Ok(removed.await?.rows_affected() == 1)
}

/// An account that is to be fetched now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueAccount {
    /// Its id.
    pub id: Uuid,
    /// Where.
    pub platform: Platform,
    /// The platform's own id of it.
    pub external_id: String,
    /// How often it is looked at.
    pub plan: Plan,
    /// Its token.
    pub token: Token,
    /// How many tries in a row have failed.
    pub failures: u32,
}

#[derive(sqlx::FromRow)]
struct DueRow {
    id: Uuid,
    platform: String,
    external_id: String,
    plan: String,
    sealed_token: Option<Vec<u8>>,
    token_expires_at_ms: Option<i64>,
    failures: i32,
}

/// Takes up to `limit` accounts that are due; nobody else does within `lease_ms`.
///
/// # Errors
/// When the database fails.
pub async fn claim_due(pool: &Pool, limit: i64, lease_ms: i64) -> Result<Vec<DueAccount>, StoreError> {
    let query = sqlx::query_as::<_, DueRow>(sql!("social_accounts/claim_due"));
    let rows = query.bind(limit).bind(lease_ms).fetch_all(pool).await?;
    rows.into_iter().map(DueRow::into_account).collect()
}

impl DueRow {
    fn into_account(self) -> Result<DueAccount, StoreError> {
        let unknown = |what: &str| StoreError::Row {
            table: "social_accounts",
            message: format!("{what} of {} is not known", self.id),
        };
        Ok(DueAccount {
            id: self.id,
            platform: Platform::of_code(&self.platform).ok_or_else(|| unknown("the platform"))?,
            plan: Plan::of_code(&self.plan).ok_or_else(|| unknown("the plan"))?,
            external_id: self.external_id,
            token: Token { sealed: self.sealed_token, expires_at_ms: self.token_expires_at_ms },
            failures: u32::try_from(self.failures).unwrap_or_default(),
        })
    }
}

/// What an account or one of its posts had at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The account.
    pub account: Uuid,
    /// The platform's id of the post; empty for the account itself.
    pub post: String,
    /// When the post was published, where that is known, in milliseconds since 1970.
    pub published_at_ms: Option<i64>,
    /// The moment, in milliseconds since 1970.
    pub captured_at_ms: i64,
    /// What it had.
    pub figures: Figures,
}

/// Keeps what a fetch at `now_ms` came to, and says when the next one is due.
///
/// # Errors
/// When the database fails.
pub async fn fetched(
    pool: &Pool,
    account: &DueAccount,
    came_to: Result<&[Reading], &FetchError>,
    now_ms: i64,
) -> Result<(), StoreError> {
    let mut transaction = crate::begin(pool).await?;
    if let Ok(readings) = came_to {
        add_readings(&mut transaction, readings).await?;
    }
    let error = came_to.err();
    // It may have been changed since the account was taken.
    let plan: Option<String> = sqlx::query_scalar(sql!("social_accounts/lock_plan"))
        .bind(account.id)
        .fetch_optional(&mut *transaction)
        .await?;
    let next_ms = next_attempt_ms(
        plan.and_then(|plan| Plan::of_code(&plan)).unwrap_or(account.plan),
        came_to.map(|_| ()),
        account.failures.saturating_add(u32::from(error.is_some())),
        now_ms,
    );
    sqlx::query(sql!("social_accounts/fetched"))
        .bind(account.id)
        .bind(now_ms)
        .bind(error.map(FetchError::code))
        .bind(error.map(ToString::to_string))
        .bind(next_ms)
        .bind(&account.token.sealed)
        .execute(&mut *transaction)
        .await?;
    crate::commit(transaction).await
}

/// Which of `accounts` are none of the workspace's.
///
/// # Errors
/// When the database fails.
pub async fn unknown(
    connection: &mut Connection,
    workspace: Uuid,
    accounts: &[Uuid],
) -> Result<Vec<Uuid>, StoreError> {
    let query = sqlx::query_scalar(sql!("social_accounts/unknown"));
    Ok(query.bind(workspace).bind(accounts).fetch_all(connection).await?)
}

/// Whether the workspace has, or once had, this account.
///
/// # Errors
/// When the database fails.
pub async fn is_known(pool: &Pool, workspace: Uuid, account: Uuid) -> Result<bool, StoreError> {
    let query = sqlx::query_scalar(sql!("social_accounts/is_known"));
    Ok(query.bind(workspace).bind(account).fetch_one(pool).await?)
}

/// Accounts that were removed, and when, in milliseconds since 1970.
///
/// # Errors
/// When the database fails.
pub async fn removed(pool: &Pool, workspace: Uuid) -> Result<Vec<(Uuid, i64)>, StoreError> {
    Ok(sqlx::query_as(sql!("social_accounts/removed")).bind(workspace).fetch_all(pool).await?)
}

/// Keeps readings for the loader, and in the headers of their accounts.
///
/// # Errors
/// When the database fails.
pub async fn add_readings(connection: &mut Connection, readings: &[Reading]) -> Result<(), StoreError> {
    let of = |reading: &Reading| (reading.account, reading.post.clone());
    let (accounts, posts): (Vec<Uuid>, Vec<String>) = readings.iter().map(of).unzip();
    let published: Vec<Option<i64>> = readings.iter().map(|reading| reading.published_at_ms).collect();
    let captured: Vec<i64> = readings.iter().map(|reading| reading.captured_at_ms).collect();
    let figures: Vec<Json<Figures>> = readings.iter().map(|reading| Json(reading.figures)).collect();
    sqlx::query(sql!("social_readings/insert"))
        .bind(accounts)
        .bind(posts)
        .bind(published)
        .bind(captured)
        .bind(figures)
        .execute(connection)
        .await?;
    Ok(())
}

/// A reading that is not in ClickHouse yet.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct WaitingReading {
    /// Its number, which ascends.
    pub id: i64,
    /// The tenant.
    pub workspace_id: Uuid,
    /// The account.
    pub account_id: Uuid,
    /// Whose it is.
    pub creator_id: Uuid,
    /// Where.
    pub platform: String,
    /// The platform's id of the post; empty for the account itself.
    pub post_id: String,
    /// When the post was published, where that is known.
    pub published_at_ms: Option<i64>,
    /// As of when.
    pub captured_at_ms: i64,
    /// What it had.
    pub figures: Json<Figures>,
}

/// Takes up to `limit` readings that are not in ClickHouse yet: they are gone when the
/// transaction is committed.
///
/// # Errors
/// When the database fails.
pub async fn take_readings(
    connection: &mut Connection,
    limit: i64,
) -> Result<Vec<WaitingReading>, StoreError> {
    Ok(sqlx::query_as(sql!("social_readings/take")).bind(limit).fetch_all(connection).await?)
}

/// An account that everybody may see.
#[derive(Clone, Debug, PartialEq, Serialize, sqlx::FromRow)]
pub struct PublishedRow {
    /// Where.
    pub platform: String,
    /// The platform's own id of it.
    pub external_id: String,
    /// Its name there.
    pub handle: String,
    /// When it was last read.
    pub captured_at_ms: Option<i64>,
    /// What it had then.
    pub figures: Option<Json<Figures>>,
}

/// The accounts that a creator shows everybody.
///
/// # Errors
/// When the database fails.
pub async fn media_kit(pool: &Pool, creator: Uuid) -> Result<Vec<PublishedRow>, StoreError> {
    Ok(sqlx::query_as(sql!("social_accounts/media_kit")).bind(creator).fetch_all(pool).await?)
}
