//! Tracking links, API keys and signing keys: what the collector looks up.

use domain::ids::{CampaignId, LinkId, UserId, WorkspaceId};
use domain::link::Link;
use domain::token::SigningKey;
use serde::Serialize;
use uuid::Uuid;

use crate::{Connection, Pool, StoreError, narrow, sql};

#[derive(sqlx::FromRow)]
struct LinkFields {
    id: Uuid,
    workspace_id: Uuid,
    campaign_id: Uuid,
    creator_id: Uuid,
    supporter_id: Option<Uuid>,
    destination_url: String,
    fallback_url: Option<String>,
    expires_at_ms: Option<i64>,
}

/// The link with this code.
///
/// # Errors
/// When the database fails.
pub async fn find(pool: &Pool, code: &str) -> Result<Option<Link>, StoreError> {
    let row: Option<LinkFields> =
        sqlx::query_as(sql!("tracking_links/find")).bind(code).fetch_optional(pool).await?;
    Ok(row.map(|row| Link {
        id: LinkId(row.id),
        workspace: WorkspaceId(row.workspace_id),
        campaign: CampaignId(row.campaign_id),
        creator: UserId(row.creator_id),
        supporter: row.supporter_id.map(UserId),
        destination_url: row.destination_url,
        fallback_url: row.fallback_url,
        expires_at_ms: row.expires_at_ms,
    }))
}

/// A link to be created.
#[derive(Clone, Debug)]
pub struct NewLink {
    /// Its id.
    pub id: LinkId,
    /// The tenant.
    pub workspace: WorkspaceId,
    /// The campaign it is for.
    pub campaign: Uuid,
    /// Who earns by it; must have accepted.
    pub creator: Uuid,
    /// Its code.
    pub code: String,
    /// Where it leads.
    pub destination_url: String,
    /// Where it leads once it has expired.
    pub fallback_url: Option<String>,
    /// When it expires.
    pub expires_at_ms: Option<i64>,
}

/// Creates a link; `false` if the creator has not accepted the campaign.
///
/// # Errors
/// When the database fails, or the code is taken.
pub async fn insert(connection: &mut Connection, link: &NewLink) -> Result<bool, StoreError> {
    let inserted = sqlx::query(sql!("tracking_links/insert"))
        .bind(link.id.0)
        .bind(link.workspace.0)
        .bind(link.campaign)
        .bind(link.creator)
        .bind(&link.code)
        .bind(&link.destination_url)
        .bind(&link.fallback_url)
        .bind(link.expires_at_ms)
        .execute(connection)
        .await?;
    Ok(inserted.rows_affected() == 1)
}

/// A link as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct LinkRow {
    /// Its id.
    pub id: Uuid,
    /// The campaign it is for.
    pub campaign_id: Uuid,
    /// Who earns by it.
    pub creator_id: Uuid,
    /// Its code.
    pub code: String,
    /// Where it leads.
    pub destination_url: String,
    /// Where it leads once it has expired.
    pub fallback_url: Option<String>,
    /// When it expires.
    pub expires_at_ms: Option<i64>,
}

/// The links of a workspace.
///
/// # Errors
/// When the database fails.
pub async fn list(pool: &Pool, workspace: Uuid) -> Result<Vec<LinkRow>, StoreError> {
    Ok(sqlx::query_as(sql!("tracking_links/list")).bind(workspace).fetch_all(pool).await?)
}

/// The workspace of the key with this SHA-256, unless revoked.
///
/// # Errors
/// When the database fails.
pub async fn workspace_of_key(pool: &Pool, key_hash: &[u8]) -> Result<Option<WorkspaceId>, StoreError> {
    let id: Option<Uuid> =
        sqlx::query_scalar(sql!("api_keys/find")).bind(key_hash).fetch_optional(pool).await?;
    Ok(id.map(WorkspaceId))
}

/// Makes sure that there is a key to sign click tokens with; `secret` is used
/// if there is none yet.
///
/// # Errors
/// When the database fails.
pub async fn ensure_signing_key(pool: &Pool, secret: &[u8]) -> Result<(), StoreError> {
    sqlx::query(sql!("signing_keys/ensure")).bind(secret).execute(pool).await?;
    Ok(())
}

/// The keys in use; the first signs.
///
/// # Errors
/// When the database fails.
pub async fn signing_keys(pool: &Pool) -> Result<Vec<SigningKey>, StoreError> {
    let rows: Vec<(i16, Vec<u8>)> = sqlx::query_as(sql!("signing_keys/list")).fetch_all(pool).await?;
    rows.into_iter()
        .map(|(id, secret)| Ok(SigningKey { id: narrow("signing_keys", id.into())?, secret }))
        .collect()
}
