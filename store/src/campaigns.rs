//! Campaigns, their terms, and the rules that attribution reads.

use std::collections::HashMap;

use domain::attribution::model::Model;
use domain::ids::{CampaignId, UserId, WorkspaceId};
use domain::limits::Limits;
use domain::pay::Pay;
use domain::rules::{Campaign, CampaignStatus, Coupon, Objective, Rules, TERMS_LEAD_MS, Terms};
use serde::Serialize;
use sqlx::PgExecutor;
use sqlx::types::Json;
use uuid::Uuid;

use crate::{Connection, Pool, StoreError, currency, narrow, sql};

/// A campaign to be created.
#[derive(Clone, Debug)]
pub struct NewCampaign {
    /// Its id.
    pub id: CampaignId,
    /// The tenant.
    pub workspace: WorkspaceId,
    /// The business that pays; a user of the workspace.
    pub business: Uuid,
    /// Its title.
    pub title: String,
    /// What it is about.
    pub description: Option<String>,
    /// Its hashtags.
    pub hashtags: Vec<String>,
    /// What it pays for.
    pub objective: Objective,
}

/// Terms to be added.
#[derive(Clone, Debug)]
pub struct NewTerms {
    /// Whether the campaign takes part.
    pub status: CampaignStatus,
    /// What one action pays.
    pub pay: Pay,
    /// The platform's share.
    pub fee_bps: u16,
    /// The attribution window.
    pub window_ms: i64,
    /// An action sooner than this after its click is rejected.
    pub min_delay_ms: i64,
    /// How a payout is shared among clicks.
    pub model: Model,
    /// What it may spend.
    pub limits: Limits,
    /// What a supporter who shared the link gets on top.
    pub share_bps: u16,
    /// No action before this counts.
    pub starts_at_ms: Option<i64>,
    /// No action at or after this counts.
    pub ends_at_ms: Option<i64>,
}

/// Creates a campaign without terms; `false` if the business is none of the
/// workspace's.
///
/// # Errors
/// When the database fails.
pub async fn insert(connection: &mut Connection, campaign: &NewCampaign) -> Result<bool, StoreError> {
    let inserted = sqlx::query(sql!("campaigns/insert"))
        .bind(campaign.id.0)
        .bind(campaign.workspace.0)
        .bind(campaign.business)
        .bind(&campaign.title)
        .bind(&campaign.description)
        .bind(&campaign.hashtags)
        .bind(campaign.objective.code())
        .execute(connection)
        .await?;
    Ok(inserted.rows_affected() == 1)
}

/// Adds terms; gives their version. The first hold from now, later ones from
/// [`TERMS_LEAD_MS`] ahead.
///
/// # Errors
/// When the database fails.
pub async fn insert_terms(
    connection: &mut Connection,
    campaign: CampaignId,
    terms: &NewTerms,
) -> Result<i32, StoreError> {
    let version = sqlx::query_scalar(sql!("campaigns/insert_terms"))
        .bind(campaign.0)
        .bind(terms.status.code())
        .bind(Json(&terms.pay))
        .bind(i32::from(terms.fee_bps))
        .bind(terms.window_ms)
        .bind(terms.starts_at_ms)
        .bind(terms.ends_at_ms)
        .bind(TERMS_LEAD_MS)
        .bind(terms.min_delay_ms)
        .bind(Json(terms.model))
        .bind(Json(terms.limits))
        .bind(i32::from(terms.share_bps))
        .fetch_one(connection)
        .await?;
    Ok(version)
}

/// Adds the latest terms again with another status; gives their version.
///
/// # Errors
/// When the database fails.
pub async fn set_status(
    connection: &mut Connection,
    campaign: CampaignId,
    status: CampaignStatus,
) -> Result<i32, StoreError> {
    let version = sqlx::query_scalar(sql!("campaigns/set_status"))
        .bind(campaign.0)
        .bind(status.code())
        .bind(TERMS_LEAD_MS)
        .fetch_one(connection)
        .await?;
    Ok(version)
}

#[derive(sqlx::FromRow)]
struct RulesRow {
    id: Uuid,
    workspace_id: Uuid,
    objective: String,
    currency: String,
    version: i32,
    valid_from_ms: i64,
    status: String,
    #[sqlx(json)]
    pay: Pay,
    fee_bps: i32,
    window_ms: i64,
    min_delay_ms: i64,
    #[sqlx(json)]
    model: Model,
    #[sqlx(json)]
    limits: Limits,
    share_bps: i32,
    starts_at_ms: Option<i64>,
    ends_at_ms: Option<i64>,
}

/// Reads what attribution decides by: campaigns with all their terms, coupons,
/// and what is kept of payments. [`crate::payments::payees`] are read apart, as
/// they are many and seldom new.
///
/// # Errors
/// When the database fails or holds what this version does not know.
pub async fn load_rules(pool: &Pool) -> Result<Rules, StoreError> {
    const TABLE: &str = "campaign_terms";
    // The clock first: what is written after it comes into force later still.
    let clock_ms: i64 = sqlx::query_scalar(sql!("campaigns/rules_clock")).fetch_one(pool).await?;
    let rows: Vec<RulesRow> = sqlx::query_as(sql!("campaigns/load_rules")).fetch_all(pool).await?;
    let mut campaigns: Vec<Campaign> = Vec::new();
    for row in rows {
        let unknown = |what: &str| StoreError::Row {
            table: TABLE,
            message: format!("unknown {what} of campaign {}", row.id),
        };
        let terms = Terms {
            version: narrow(TABLE, row.version.into())?,
            valid_from_ms: row.valid_from_ms,
            status: CampaignStatus::from_code(&row.status).ok_or_else(|| unknown("status"))?,
            pay: row.pay,
            fee_bps: narrow(TABLE, row.fee_bps.into())?,
            window_ms: row.window_ms,
            min_delay_ms: row.min_delay_ms,
            model: row.model,
            limits: row.limits,
            share_bps: narrow(TABLE, row.share_bps.into())?,
            starts_at_ms: row.starts_at_ms,
            ends_at_ms: row.ends_at_ms,
        };
        match campaigns.last_mut() {
            Some(campaign) if campaign.id.0 == row.id => campaign.terms.push(terms),
            _ => campaigns.push(Campaign {
                id: CampaignId(row.id),
                workspace: WorkspaceId(row.workspace_id),
                objective: Objective::from_code(&row.objective).ok_or_else(|| unknown("objective"))?,
                currency: currency(TABLE, &row.currency)?,
                terms: vec![terms],
            }),
        }
    }
    let coupons = coupons(pool, None).await?;
    Ok(Rules::new(campaigns, clock_ms)
        .with_coupons(coupons.into_iter().map(Coupon::from))
        .with_payment_terms(crate::payments::terms(pool, None).await?)
        .with_seller_tiers(crate::payments::tiers(pool).await?))
}

/// A campaign as it is shown.
#[derive(Clone, Debug, PartialEq, Serialize, sqlx::FromRow)]
pub struct CampaignRow {
    /// Its id.
    pub id: Uuid,
    /// Its title.
    pub title: String,
    /// `click`, `conversion` or `sale`.
    pub objective: String,
    /// Its currency.
    pub currency: String,
    /// Its hashtags.
    pub hashtags: Vec<String>,
    /// `draft`, `active`, `paused` or `completed`.
    pub status: String,
    /// The version of the terms in force.
    pub terms_version: i32,
    /// What one action pays.
    #[sqlx(json)]
    pub pay: Pay,
    /// The platform's share.
    pub fee_bps: i32,
    /// The attribution window.
    pub window_ms: i64,
    /// An action sooner than this after its click is rejected.
    pub min_delay_ms: i64,
    /// How a payout is shared among clicks.
    #[sqlx(json)]
    pub model: Model,
    /// What it may spend.
    #[sqlx(json)]
    pub limits: Limits,
    /// What a supporter who shared the link gets on top, of what an action pays.
    pub share_bps: i32,
    /// All that was put in. None, as with the next three, if nothing was, or it is
    /// not for the asker to see.
    pub total_budget_minor: Option<i64>,
    /// What is left.
    pub remaining_budget_minor: Option<i64>,
    /// What was paid out.
    pub spent_minor: Option<i64>,
    /// What went back to the business.
    pub returned_minor: Option<i64>,
    /// When it ran out of money.
    pub exhausted_at_ms: Option<i64>,
    /// When it was closed.
    pub closed_at_ms: Option<i64>,
}

/// The campaigns of a workspace, or one of them.
///
/// # Errors
/// When the database fails.
pub async fn list(
    from: impl PgExecutor<'_>,
    workspace: Uuid,
    campaign: Option<Uuid>,
) -> Result<Vec<CampaignRow>, StoreError> {
    let campaigns =
        sqlx::query_as(sql!("campaigns/list")).bind(workspace).bind(campaign).fetch_all(from).await?;
    Ok(campaigns)
}

/// How many outcomes a campaign has, by status and reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct OutcomeCount {
    /// The status.
    pub status: String,
    /// The reason, unless posted.
    pub reason: Option<String>,
    /// How many.
    pub count: i64,
}

/// Counts a campaign's outcomes.
///
/// # Errors
/// When the database fails.
pub async fn outcome_counts(pool: &Pool, campaign: Uuid) -> Result<Vec<OutcomeCount>, StoreError> {
    Ok(sqlx::query_as(sql!("campaigns/outcome_counts")).bind(campaign).fetch_all(pool).await?)
}

/// Sets a creator's part in a campaign (`pending`, `accepted`, …); `false` if
/// campaign and creator are not of one workspace.
///
/// # Errors
/// When the database fails.
pub async fn set_creator(
    connection: &mut Connection,
    campaign: Uuid,
    creator: Uuid,
    status: &str,
) -> Result<bool, StoreError> {
    let set = sqlx::query(sql!("campaign_creators/upsert"))
        .bind(campaign)
        .bind(creator)
        .bind(status)
        .execute(connection)
        .await?;
    Ok(set.rows_affected() == 1)
}

/// A coupon as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct CouponRow {
    /// The tenant.
    #[serde(skip)]
    pub workspace_id: Uuid,
    /// The code, in capitals.
    pub code: String,
    /// Its campaign.
    pub campaign_id: Uuid,
    /// Its creator.
    pub creator_id: Uuid,
    /// In force from here on, milliseconds since 1970.
    pub valid_from_ms: i64,
}

impl From<CouponRow> for Coupon {
    fn from(row: CouponRow) -> Self {
        Self {
            workspace: WorkspaceId(row.workspace_id),
            code: row.code,
            campaign: CampaignId(row.campaign_id),
            creator: UserId(row.creator_id),
            valid_from_ms: row.valid_from_ms,
        }
    }
}

/// The coupons of a workspace, or all, with those that were followed by another.
///
/// # Errors
/// When the database fails.
pub async fn coupons(pool: &Pool, workspace: Option<Uuid>) -> Result<Vec<CouponRow>, StoreError> {
    Ok(sqlx::query_as(sql!("coupons/list")).bind(workspace).fetch_all(pool).await?)
}

/// Adds a coupon, in force from [`TERMS_LEAD_MS`] ahead; gives that moment, or
/// nothing if the creator takes no part in such a campaign.
///
/// # Errors
/// When the database fails.
pub async fn insert_coupon(
    connection: &mut Connection,
    workspace: Uuid,
    code: &str,
    campaign: Uuid,
    creator: Uuid,
) -> Result<Option<i64>, StoreError> {
    let valid_from_ms = sqlx::query_scalar(sql!("coupons/insert"))
        .bind(workspace)
        .bind(code)
        .bind(campaign)
        .bind(creator)
        .bind(TERMS_LEAD_MS)
        .fetch_optional(connection)
        .await?;
    Ok(valid_from_ms)
}

/// The campaigns that pay for clicks.
///
/// # Errors
/// When the database fails.
pub async fn paying_clicks(pool: &Pool) -> Result<Vec<Uuid>, StoreError> {
    Ok(sqlx::query_scalar(sql!("campaigns/paying_clicks")).fetch_all(pool).await?)
}

/// The titles of `campaigns`.
///
/// # Errors
/// When the database fails.
pub async fn titles(pool: &Pool, campaigns: &[Uuid]) -> Result<HashMap<Uuid, String>, StoreError> {
    let rows: Vec<(Uuid, String)> =
        sqlx::query_as(sql!("campaigns/titles")).bind(campaigns).fetch_all(pool).await?;
    Ok(rows.into_iter().collect())
}

/// The campaigns of a workspace with a hashtag, whichever way it is written.
///
/// # Errors
/// When the database fails.
pub async fn with_hashtag(pool: &Pool, workspace: Uuid, hashtag: &str) -> Result<Vec<Uuid>, StoreError> {
    let query = sqlx::query_scalar(sql!("campaigns/with_hashtag"));
    Ok(query.bind(workspace).bind(hashtag).fetch_all(pool).await?)
}

/// Each hashtag of a workspace, in small letters, with each campaign that has it.
///
/// # Errors
/// When the database fails.
pub async fn hashtags(pool: &Pool, workspace: Uuid) -> Result<Vec<(String, Uuid)>, StoreError> {
    Ok(sqlx::query_as(sql!("campaigns/hashtags")).bind(workspace).fetch_all(pool).await?)
}
