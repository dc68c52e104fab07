//! Workspaces, keys, users and the audit log.

use std::collections::HashMap;

use domain::ids::WorkspaceId;
use domain::money::Currency;
use domain::privacy::Privacy;
use serde::Serialize;
use sqlx::types::Json;
use uuid::Uuid;

use crate::{Connection, Pool, StoreError, sql};

/// A workspace to be created.
#[derive(Clone, Debug)]
pub struct NewWorkspace {
    /// Its id.
    pub id: WorkspaceId,
    /// Its short name, for addresses.
    pub slug: String,
    /// Its name.
    pub name: String,
    /// What its campaigns pay in.
    pub currency: Currency,
    /// The platform's share of payouts.
    pub platform_fee_bps: u16,
    /// Its IANA time zone.
    pub time_zone: String,
}

/// Creates a workspace.
///
/// # Errors
/// When the database fails, or the slug is taken.
pub async fn insert_workspace(
    connection: &mut Connection,
    workspace: &NewWorkspace,
) -> Result<(), StoreError> {
    sqlx::query(sql!("workspaces/insert"))
        .bind(workspace.id.0)
        .bind(&workspace.slug)
        .bind(&workspace.name)
        .bind(workspace.currency.code())
        .bind(i32::from(workspace.platform_fee_bps))
        .bind(&workspace.time_zone)
        .execute(connection)
        .await?;
    Ok(())
}

/// A workspace as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct WorkspaceRow {
    /// Its id.
    pub id: Uuid,
    /// Its short name.
    pub slug: String,
    /// Its name.
    pub name: String,
    /// What its campaigns pay in.
    pub currency: String,
    /// The platform's share of payouts.
    pub platform_fee_bps: i32,
    /// Its IANA time zone.
    pub time_zone: String,
    /// Single events are kept for so many days; for ever, if none.
    pub retention_days: Option<i32>,
    /// Up to when they are gone, milliseconds since 1970; 0, if none is.
    pub expired_before_ms: i64,
}

/// All workspaces.
///
/// # Errors
/// When the database fails.
pub async fn list_workspaces(pool: &Pool) -> Result<Vec<WorkspaceRow>, StoreError> {
    Ok(sqlx::query_as(sql!("workspaces/list")).fetch_all(pool).await?)
}

/// The workspace with this id or slug.
///
/// # Errors
/// When the database fails.
pub async fn find_workspace(pool: &Pool, id_or_slug: &str) -> Result<Option<WorkspaceRow>, StoreError> {
    let id = Uuid::parse_str(id_or_slug).ok();
    let found =
        sqlx::query_as(sql!("workspaces/find")).bind(id).bind(id_or_slug).fetch_optional(pool).await?;
    Ok(found)
}

/// Adds a key to a workspace, by its SHA-256.
///
/// # Errors
/// When the database fails.
pub async fn insert_key(
    connection: &mut Connection,
    workspace: WorkspaceId,
    id: Uuid,
    name: &str,
    key_hash: &[u8],
    is_public: bool,
) -> Result<(), StoreError> {
    sqlx::query(sql!("api_keys/insert"))
        .bind(id)
        .bind(workspace.0)
        .bind(name)
        .bind(key_hash)
        .bind(is_public)
        .execute(connection)
        .await?;
    Ok(())
}

/// A user to be created; a wallet comes with it.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// The user's id.
    pub id: Uuid,
    /// The tenant.
    pub workspace: WorkspaceId,
    /// Unique within the workspace.
    pub email: String,
    /// Unique within the workspace.
    pub username: String,
    /// The name to show.
    pub display_name: String,
}

async fn insert_user(connection: &mut Connection, user: &NewUser) -> Result<(), StoreError> {
    sqlx::query(sql!("users/insert"))
        .bind(user.id)
        .bind(user.workspace.0)
        .bind(&user.email)
        .bind(&user.username)
        .bind(&user.display_name)
        .execute(connection)
        .await?;
    Ok(())
}

/// Creates a creator.
///
/// # Errors
/// When the database fails, or the e-mail or user name is taken.
pub async fn insert_creator(
    connection: &mut Connection,
    user: &NewUser,
    hashtags: &[String],
) -> Result<(), StoreError> {
    insert_user(connection, user).await?;
    sqlx::query(sql!("users/insert_creator")).bind(user.id).bind(hashtags).execute(connection).await?;
    Ok(())
}

/// Creates somebody who works for the workspace, in `role`.
///
/// # Errors
/// When the database fails, or the e-mail or user name is taken.
pub async fn insert_staff(connection: &mut Connection, user: &NewUser, role: &str) -> Result<(), StoreError> {
    insert_user(connection, user).await?;
    sqlx::query(sql!("users/insert_staff")).bind(user.id).bind(role).execute(connection).await?;
    Ok(())
}

/// Creates a business.
///
/// # Errors
/// When the database fails, or the e-mail or user name is taken.
pub async fn insert_business(
    connection: &mut Connection,
    user: &NewUser,
    company_name: &str,
    website: Option<&str>,
) -> Result<(), StoreError> {
    insert_user(connection, user).await?;
    sqlx::query(sql!("users/insert_business"))
        .bind(user.id)
        .bind(company_name)
        .bind(website)
        .execute(connection)
        .await?;
    Ok(())
}

/// A creator as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct CreatorRow {
    /// The user's id.
    pub id: Uuid,
    /// The e-mail address.
    pub email: String,
    /// The user name.
    pub username: String,
    /// The name to show.
    pub display_name: String,
    /// Hashtags.
    pub hashtags: Vec<String>,
}

/// The creators of a workspace.
///
/// # Errors
/// When the database fails.
pub async fn list_creators(pool: &Pool, workspace: Uuid) -> Result<Vec<CreatorRow>, StoreError> {
    Ok(sqlx::query_as(sql!("users/list_creators")).bind(workspace).fetch_all(pool).await?)
}

/// A business as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct BusinessRow {
    /// The user's id.
    pub id: Uuid,
    /// The e-mail address.
    pub email: String,
    /// The user name.
    pub username: String,
    /// The company's name.
    pub company_name: String,
    /// Its web site.
    pub website: Option<String>,
}

/// The businesses of a workspace.
///
/// # Errors
/// When the database fails.
pub async fn list_businesses(pool: &Pool, workspace: Uuid) -> Result<Vec<BusinessRow>, StoreError> {
    Ok(sqlx::query_as(sql!("users/list_businesses")).bind(workspace).fetch_all(pool).await?)
}

/// Writes down who did what.
///
/// # Errors
/// When the database fails.
pub async fn audit(
    connection: &mut Connection,
    actor: &str,
    action: &str,
    entity_kind: &str,
    entity_id: Uuid,
    after: &impl Serialize,
) -> Result<(), StoreError> {
    let after = serde_json::to_value(after)
        .map_err(|error| StoreError::Row { table: "audit_log", message: error.to_string() })?;
    sqlx::query(sql!("audit_log/insert"))
        .bind(actor)
        .bind(action)
        .bind(entity_kind)
        .bind(entity_id)
        .bind(Json(after))
        .execute(connection)
        .await?;
    Ok(())
}

/// Sets what a workspace keeps of its visitors.
///
/// # Errors
/// When the database fails.
pub async fn set_privacy(
    connection: &mut Connection,
    workspace: Uuid,
    privacy: Privacy,
) -> Result<(), StoreError> {
    sqlx::query(sql!("workspaces/set_privacy"))
        .bind(workspace)
        .bind(privacy.address.code())
        .bind(privacy.honour_opt_out)
        .bind(i32::from(privacy.cookie_days))
        .execute(connection)
        .await?;
    Ok(())
}

/// Sets what a workspace's webhooks of a provider are signed with.
///
/// # Errors
/// When the database fails.
pub async fn set_webhook_secret(
    connection: &mut Connection,
    workspace: Uuid,
    provider: &str,
    secret: &str,
) -> Result<(), StoreError> {
    sqlx::query(sql!("webhook_secrets/set"))
        .bind(workspace)
        .bind(provider)
        .bind(secret)
        .execute(connection)
        .await?;
    Ok(())
}

/// Whether a workspace has such a user.
///
/// # Errors
/// When the database fails.
pub async fn is_user(pool: &Pool, workspace: Uuid, user: Uuid) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar(sql!("users/is_one")).bind(workspace).bind(user).fetch_one(pool).await?)
}

/// Which of a campaign, a creator and a link a workspace has not, if any.
///
/// # Errors
/// When the database fails.
pub async fn missing(
    pool: &Pool,
    workspace: Uuid,
    campaign: Option<Uuid>,
    creator: Option<Uuid>,
    link: Option<Uuid>,
) -> Result<Option<String>, StoreError> {
    let query = sqlx::query_scalar(sql!("workspaces/missing"));
    Ok(query.bind(workspace).bind(campaign).bind(creator).bind(link).fetch_one(pool).await?)
}

/// What some of a workspace's users are called.
///
/// # Errors
/// When the database fails.
pub async fn display_names(
    pool: &Pool,
    workspace: Uuid,
    users: &[Uuid],
) -> Result<HashMap<Uuid, String>, StoreError> {
    let query = sqlx::query_as(sql!("users/display_names"));
    let rows: Vec<(Uuid, String)> = query.bind(workspace).bind(users).fetch_all(pool).await?;
    Ok(rows.into_iter().collect())
}
