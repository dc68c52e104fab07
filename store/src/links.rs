//! Tracking links, API keys and signing keys: what the collector looks up.

use domain::ids::{CampaignId, LinkId, UserId, WorkspaceId};
use domain::link::{Link, Rule, Variant};
use domain::privacy::{AddressPolicy, Privacy, Tenant};
use domain::token::SigningKey;
use serde::Serialize;
use sqlx::postgres::PgListener;
use sqlx::types::Json;
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
    click_limit: Option<i64>,
    pass_query: bool,
    rules: Json<Vec<Rule>>,
    variants: Json<Vec<Variant>>,
    is_exhausted: bool,
    #[sqlx(flatten)]
    privacy: PrivacyFields,
}

#[derive(sqlx::FromRow)]
struct PrivacyFields {
    address_policy: String,
    honour_opt_out: bool,
    cookie_days: i32,
}

impl PrivacyFields {
    fn privacy(&self) -> Result<Privacy, StoreError> {
        let address = AddressPolicy::of_code(&self.address_policy).ok_or_else(|| StoreError::Row {
            table: "workspaces",
            message: format!("unknown address_policy {:?}", self.address_policy),
        })?;
        let cookie_days = narrow("workspaces", self.cookie_days.into())?;
        Ok(Privacy { address, honour_opt_out: self.honour_opt_out, cookie_days })
    }

    fn tenant(&self, workspace: Uuid) -> Result<Tenant, StoreError> {
        Ok(Tenant { workspace: WorkspaceId(workspace), privacy: self.privacy()? })
    }
}

/// The link with this code, and what its workspace keeps of visitors.
///
/// # Errors
/// When the database fails.
pub async fn find(pool: &Pool, code: &str) -> Result<Option<(Link, Privacy)>, StoreError> {
    let row: Option<LinkFields> =
        sqlx::query_as(sql!("tracking_links/find")).bind(code).fetch_optional(pool).await?;
    let Some(row) = row else { return Ok(None) };
    let privacy = row.privacy.privacy()?;
    let link = Link {
        id: LinkId(row.id),
        workspace: WorkspaceId(row.workspace_id),
        campaign: CampaignId(row.campaign_id),
        creator: UserId(row.creator_id),
        supporter: row.supporter_id.map(UserId),
        destination_url: row.destination_url,
        fallback_url: row.fallback_url,
        expires_at_ms: row.expires_at_ms,
        click_limit: row.click_limit,
        pass_query: row.pass_query,
        rules: row.rules.0,
        variants: row.variants.0,
        is_exhausted: row.is_exhausted,
    };
    Ok(Some((link, privacy)))
}

/// Draws a lot of clicks from a link's limit, for one collector to use; 0 when
/// nothing is left.
///
/// # Errors
/// When the database fails.
pub async fn draw_clicks(pool: &Pool, link: LinkId) -> Result<i64, StoreError> {
    let mut transaction = crate::begin(pool).await?;
    let lot: Option<(Uuid, i64)> =
        sqlx::query_as(sql!("link_allowances/draw")).bind(link.0).fetch_optional(&mut *transaction).await?;
    let Some((_, clicks)) = lot else { return Ok(0) };
    sqlx::query(sql!("link_allowances/take")).bind(link.0).bind(clicks).execute(&mut *transaction).await?;
    crate::commit(transaction).await?;
    Ok(clicks)
}

/// What of a link may be changed later.
#[derive(Clone, Debug)]
pub struct LinkSettings {
    /// Where it leads.
    pub destination_url: String,
    /// Where it leads once it has expired or used up its clicks.
    pub fallback_url: Option<String>,
    /// When it expires.
    pub expires_at_ms: Option<i64>,
    /// How many clicks of people are led to the destination.
    pub click_limit: Option<i64>,
    /// Whether the query of the short address is added.
    pub pass_query: bool,
    /// Destinations for countries and devices.
    pub rules: Vec<Rule>,
    /// Weighted destinations.
    pub variants: Vec<Variant>,
    /// Whether it leads to the fallback while its campaign has no money left.
    pub leaves_exhausted: bool,
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
    /// The supporter who shares it, if any.
    pub supporter: Option<Uuid>,
    /// Its code.
    pub code: String,
    /// Where it leads, and when.
    pub settings: LinkSettings,
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
        .bind(&link.settings.destination_url)
        .bind(&link.settings.fallback_url)
        .bind(link.settings.expires_at_ms)
        .bind(link.settings.click_limit)
        .bind(link.settings.pass_query)
        .bind(Json(&link.settings.rules))
        .bind(Json(&link.settings.variants))
        .bind(link.supporter)
        .bind(link.settings.leaves_exhausted)
        .execute(connection)
        .await?;
    Ok(inserted.rows_affected() == 1)
}

/// Changes a link's settings, all of them; gives its code, or nothing if the
/// workspace has no such link.
///
/// # Errors
/// When the database fails.
pub async fn update(
    connection: &mut Connection,
    workspace: Uuid,
    link: Uuid,
    settings: &LinkSettings,
) -> Result<Option<String>, StoreError> {
    Ok(sqlx::query_scalar(sql!("tracking_links/update"))
        .bind(workspace)
        .bind(link)
        .bind(&settings.destination_url)
        .bind(&settings.fallback_url)
        .bind(settings.expires_at_ms)
        .bind(settings.click_limit)
        .bind(settings.pass_query)
        .bind(Json(&settings.rules))
        .bind(Json(&settings.variants))
        .bind(settings.leaves_exhausted)
        .fetch_optional(connection)
        .await?)
}

/// A link as it is shown.
#[derive(Clone, Debug, Serialize, sqlx::FromRow)]
pub struct LinkRow {
    /// Its id.
    pub id: Uuid,
    /// The campaign it is for.
    pub campaign_id: Uuid,
    /// Who earns by it.
    pub creator_id: Uuid,
    /// Who shares it, if anybody.
    pub supporter_id: Option<Uuid>,
    /// Its code.
    pub code: String,
    /// Where it leads.
    pub destination_url: String,
    /// Where it leads once it has expired or used up its clicks.
    pub fallback_url: Option<String>,
    /// When it expires.
    pub expires_at_ms: Option<i64>,
    /// How many clicks of people are led to the destination.
    pub click_limit: Option<i64>,
    /// Whether the query of the short address is added.
    pub pass_query: bool,
    /// Destinations for countries and devices.
    pub rules: Json<Vec<Rule>>,
    /// Weighted destinations.
    pub variants: Json<Vec<Variant>>,
    /// Whether it leads to the fallback while its campaign has no money left.
    pub leaves_exhausted: bool,
}

/// The links of a workspace.
///
/// # Errors
/// When the database fails.
pub async fn list(pool: &Pool, workspace: Uuid) -> Result<Vec<LinkRow>, StoreError> {
    Ok(sqlx::query_as(sql!("tracking_links/list")).bind(workspace).fetch_all(pool).await?)
}

#[derive(sqlx::FromRow)]
struct KeyFields {
    id: Uuid,
    is_public: bool,
    #[sqlx(flatten)]
    privacy: PrivacyFields,
}

/// Whose key has this SHA-256, unless it is revoked, and whether it may stand in
/// a web page.
///
/// # Errors
/// When the database fails.
pub async fn owner_of_key(pool: &Pool, key_hash: &[u8]) -> Result<Option<(Tenant, bool)>, StoreError> {
    let row: Option<KeyFields> =
        sqlx::query_as(sql!("api_keys/find")).bind(key_hash).fetch_optional(pool).await?;
    row.map(|row| Ok((row.privacy.tenant(row.id)?, row.is_public))).transpose()
}

#[derive(sqlx::FromRow)]
struct WebhookFields {
    id: Uuid,
    secret: String,
    #[sqlx(flatten)]
    privacy: PrivacyFields,
}

/// The workspace with this slug or id, and the secret of its webhooks of a
/// provider, if it has set one.
///
/// # Errors
/// When the database fails.
pub async fn webhook(
    pool: &Pool,
    workspace: &str,
    provider: &str,
) -> Result<Option<(Tenant, String)>, StoreError> {
    let row: Option<WebhookFields> = sqlx::query_as(sql!("webhook_secrets/find"))
        .bind(workspace)
        .bind(provider)
        .fetch_optional(pool)
        .await?;
    row.map(|row| Ok((row.privacy.tenant(row.id)?, row.secret))).transpose()
}

/// The salt of a day (counted from 1970-01-01), which is `fresh` unless there
/// was one; salts from before yesterday are forgotten.
///
/// # Errors
/// When the database fails.
pub async fn daily_salt(pool: &Pool, day: i64, fresh: &[u8]) -> Result<Vec<u8>, StoreError> {
    sqlx::query(sql!("daily_salts/ensure")).bind(day).bind(fresh).execute(pool).await?;
    sqlx::query(sql!("daily_salts/forget")).bind(day).execute(pool).await?;
    Ok(sqlx::query_scalar(sql!("daily_salts/get")).bind(day).fetch_one(pool).await?)
}

/// Adds a key that signs from now on; the others only verify, for
/// `accept_days` more. Gives the new key's number, or nothing when all 256 are
/// used up.
///
/// # Errors
/// When the database fails.
pub async fn rotate_signing_key(
    connection: &mut Connection,
    secret: &[u8],
    accept_days: i32,
) -> Result<Option<i16>, StoreError> {
    let added: Option<i16> =
        sqlx::query_scalar(sql!("signing_keys/rotate")).bind(secret).fetch_optional(&mut *connection).await?;
    if let Some(id) = added {
        sqlx::query(sql!("signing_keys/retire_others"))
            .bind(id)
            .bind(accept_days)
            .execute(connection)
            .await?;
    }
    Ok(added)
}

/// What has changed for collectors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The link with this code.
    Link(String),
    /// Some API key.
    Keys,
    /// The keys that tokens are signed with.
    SigningKeys,
    /// Anything: the connection was lost for a while, or a workspace changed.
    Everything,
}

/// Hears of changes, on a connection of its own.
pub struct Changes(PgListener);

impl Changes {
    /// Begins to listen.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn listen(pool: &Pool) -> Result<Self, StoreError> {
        let mut listener = PgListener::connect_with(pool).await?;
        listener.listen("tributary_directory").await?;
        Ok(Self(listener))
    }

    /// Waits for the next change. After a lost connection it is
    /// [`Change::Everything`].
    ///
    /// # Errors
    /// When the connection is lost and cannot be made again.
    pub async fn next(&mut self) -> Result<Change, StoreError> {
        let Some(notification) = self.0.try_recv().await? else { return Ok(Change::Everything) };
        Ok(match notification.payload().split_once(' ') {
            Some(("link", code)) => Change::Link(code.to_owned()),
            _ if notification.payload() == "keys" => Change::Keys,
            _ if notification.payload() == "signing_keys" => Change::SigningKeys,
            _ => Change::Everything,
        })
    }
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
        .map(|(id, secret)| Ok(SigningKey::new(narrow("signing_keys", id.into())?, &secret)))
        .collect()
}
