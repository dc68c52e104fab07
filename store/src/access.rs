//! Users' keys, and asking as a user: what is read then is what the row-level
//! policies let that user see, whatever the query.

use serde::Serialize;
use uuid::Uuid;

use crate::{Connection, Pool, StoreError, Transaction, sql};

/// Whose key it is.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct KeyUser {
    /// The user.
    pub user_id: Uuid,
    /// Their workspace.
    pub workspace_id: Uuid,
    /// The role that the key acts in.
    pub role: String,
}

/// The user with the key of this SHA-256.
///
/// # Errors
/// When the database fails.
pub async fn find_key(pool: &Pool, key_hash: &[u8]) -> Result<Option<KeyUser>, StoreError> {
    Ok(sqlx::query_as(sql!("user_keys/find")).bind(key_hash).fetch_optional(pool).await?)
}

/// A key for a user, in a role that they have.
#[derive(Clone, Debug)]
pub struct NewKey<'a> {
    /// Its id.
    pub id: Uuid,
    /// The user.
    pub user: Uuid,
    /// The role that it acts in.
    pub role: &'a str,
    /// What it is for.
    pub name: &'a str,
    /// SHA-256 of the key.
    pub key_hash: &'a [u8],
}

/// Adds a key; `false` if the workspace has no such user in that role.
///
/// # Errors
/// When the database fails.
pub async fn insert_key(
    connection: &mut Connection,
    workspace: Uuid,
    key: &NewKey<'_>,
) -> Result<bool, StoreError> {
    let inserted = sqlx::query(sql!("user_keys/insert"))
        .bind(key.id)
        .bind(workspace)
        .bind(key.user)
        .bind(key.role)
        .bind(key.name)
        .bind(key.key_hash)
        .execute(connection)
        .await?;
    Ok(inserted.rows_affected() == 1)
}

/// Ends a key; `false` if the workspace has no such key, or it ended before.
///
/// # Errors
/// When the database fails.
pub async fn revoke_key(connection: &mut Connection, workspace: Uuid, key: Uuid) -> Result<bool, StoreError> {
    let revoked = sqlx::query(sql!("user_keys/revoke")).bind(workspace).bind(key).execute(connection).await?;
    Ok(revoked.rows_affected() == 1)
}

/// Begins a transaction that reads what a user may see.
///
/// # Errors
/// When the database fails.
pub async fn begin_as(pool: &Pool, user: &KeyUser) -> Result<Transaction, StoreError> {
    let mut transaction = crate::begin_snapshot(pool).await?;
    sqlx::query(sql!("sessions/ask_as"))
        .bind(user.workspace_id)
        .bind(user.user_id)
        .bind(&user.role)
        .execute(&mut *transaction)
        .await?;
    Ok(transaction)
}

/// An outcome as users see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct SeenOutcome {
    /// The action's event.
    pub event_id: Uuid,
    /// Its leg.
    pub leg: i16,
    /// What it is about.
    pub kind: String,
    /// What became of it.
    pub status: String,
    /// Why it was not paid.
    pub reason: Option<String>,
    /// The campaign.
    pub campaign_id: Option<Uuid>,
    /// The creator.
    pub creator_id: Option<Uuid>,
    /// The event's own time.
    pub at_ms: i64,
    /// What was paid, minor units.
    pub gross_minor: Option<i64>,
    /// Of it, to the creator.
    pub creator_minor: Option<i64>,
    /// Of it, to the platform.
    pub fee_minor: Option<i64>,
    /// Their currency.
    pub currency: Option<String>,
    /// Of a refund, its own number.
    pub refund_id: Option<String>,
}

/// The newest `limit` outcomes that the asking user may see.
///
/// # Errors
/// When the database fails.
pub async fn latest_outcomes(
    connection: &mut Connection,
    workspace: Uuid,
    limit: i64,
) -> Result<Vec<SeenOutcome>, StoreError> {
    Ok(sqlx::query_as(sql!("outcomes/latest")).bind(workspace).bind(limit).fetch_all(connection).await?)
}
