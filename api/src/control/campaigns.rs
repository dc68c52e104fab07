//! Campaigns, their terms and who takes part.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use domain::attribution::model::Model;
use domain::ids::{CampaignId, WorkspaceId};
use domain::limits::Limits;
use domain::money::FULL_BPS;
use domain::pay::Pay;
use domain::rules::{CampaignStatus, DEFAULT_WINDOW_MS, Objective};
use serde::Deserialize;
use serde_json::json;
use store::campaigns::{NewCampaign, NewTerms};
use uuid::Uuid;

use crate::access::InWorkspace;
use crate::control::{Body, check_bps, commit, created};
use crate::error::ApiError;
use crate::server::App;

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TermsInput {
    #[serde(default = "active")]
    status: CampaignStatus,
    /// Short for a fixed `pay`.
    payout_minor: Option<i64>,
    pay: Option<Pay>,
    fee_bps: Option<u16>,
    window_days: Option<u16>,
    #[serde(default)]
    min_delay_ms: i64,
    #[serde(default)]
    model: Model,
    #[serde(default)]
    limits: Limits,
    #[serde(default)]
    share_bps: u16,
    starts_at_ms: Option<i64>,
    ends_at_ms: Option<i64>,
}

fn active() -> CampaignStatus {
    CampaignStatus::Active
}

impl TermsInput {
    fn terms(&self, objective: Objective, default_fee_bps: i32) -> Result<NewTerms, ApiError> {
        let pay = match (self.payout_minor, &self.pay) {
            (Some(amount_minor), None) => Pay::Fixed { amount_minor },
            (None, Some(pay)) => pay.clone(),
            _ => return Err(ApiError::invalid("pay", "give either payout_minor or pay")),
        };
        if let Some(fault) = pay.fault() {
            return Err(ApiError::invalid("pay", fault));
        }
        if objective == Objective::Click && pay.needs_a_value() {
            return Err(ApiError::invalid("pay", "a click is worth nothing to take a share of"));
        }
        let default_fee_bps = u16::try_from(default_fee_bps).unwrap_or(FULL_BPS);
        let fee_bps = self.fee_bps.unwrap_or(default_fee_bps);
        check_bps("fee_bps", fee_bps)?;
        check_bps("share_bps", self.share_bps)?;
        let window_ms = self.window_days.map_or(DEFAULT_WINDOW_MS, |days| i64::from(days) * DAY_MS);
        if window_ms > domain::attribution::MAX_WINDOW_MS {
            return Err(ApiError::invalid("window_days", "at most 90"));
        }
        if !(0..=window_ms).contains(&self.min_delay_ms) {
            return Err(ApiError::invalid("min_delay_ms", "from 0 to the window"));
        }
        if let Some(fault) = self.model.fault() {
            return Err(ApiError::invalid("model", fault));
        }
        if let Some(field) = self.limits.fault() {
            return Err(ApiError::invalid(
                "limits",
                format!("{field} must not be below 0, and within the limit"),
            ));
        }
        if self.starts_at_ms.zip(self.ends_at_ms).is_some_and(|(start, end)| end <= start) {
            return Err(ApiError::invalid("ends_at_ms", "is not after starts_at_ms"));
        }
        Ok(NewTerms {
            status: self.status,
            pay,
            fee_bps,
            window_ms,
            min_delay_ms: self.min_delay_ms,
            model: self.model,
            limits: self.limits,
            share_bps: self.share_bps,
            starts_at_ms: self.starts_at_ms,
            ends_at_ms: self.ends_at_ms,
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CampaignInput {
    business_id: Uuid,
    title: String,
    description: Option<String>,
    #[serde(default)]
    hashtags: Vec<String>,
    objective: Objective,
    terms: TermsInput,
}

pub(crate) async fn create_campaign(
    State(app): State<Arc<App>>,
    InWorkspace(workspace): InWorkspace,
    body: Body<CampaignInput>,
) -> Result<Response, ApiError> {
    let Json(input) = body?;
    let terms = input.terms.terms(input.objective, workspace.platform_fee_bps)?;
    let campaign = NewCampaign {
        id: CampaignId(Uuid::now_v7()),
        workspace: WorkspaceId(workspace.id),
        business: input.business_id,
        title: input.title,
        description: input.description,
        hashtags: input.hashtags,
        objective: input.objective,
    };
    let mut transaction = store::begin(&app.pool).await?;
    if !store::campaigns::insert(&mut transaction, &campaign).await? {
        return Err(ApiError::not_found("business"));
    }
    store::campaigns::insert_terms(&mut transaction, campaign.id, &terms).await?;
    let shown = json!({ "id": campaign.id, "title": campaign.title, "objective": campaign.objective });
    commit(&workspace.actor, transaction, "create", "campaign", campaign.id.0, &shown).await?;
    let campaigns = store::campaigns::list(&app.pool, workspace.id, Some(campaign.id.0)).await?;
    Ok(created(campaigns.first()))
}

pub(crate) async fn list_campaigns(
    State(app): State<Arc<App>>,
    InWorkspace(workspace): InWorkspace,
) -> Result<Response, ApiError> {
    let campaigns = store::campaigns::list(&app.pool, workspace.id, None).await?;
    Ok(Json(json!({ "campaigns": campaigns })).into_response())
}

/// The campaign, if it is this workspace's.
pub(super) async fn campaign(
    app: &App,
    workspace: Uuid,
    id: Uuid,
) -> Result<store::campaigns::CampaignRow, ApiError> {
    let campaigns = store::campaigns::list(&app.pool, workspace, Some(id)).await?;
    campaigns.into_iter().next().ok_or_else(|| ApiError::not_found("campaign"))
}

pub(crate) async fn get_campaign(
    State(app): State<Arc<App>>,
    InWorkspace(workspace): InWorkspace,
    Path(id): Path<Uuid>,
) -> Result<Response, ApiError> {
    let campaign = campaign(&app, workspace.id, id).await?;
    let outcomes = store::campaigns::outcome_counts(&app.pool, id).await?;
    Ok(Json(json!({ "campaign": campaign, "outcomes": outcomes })).into_response())
}

pub(crate) async fn add_terms(
    State(app): State<Arc<App>>,
    InWorkspace(workspace): InWorkspace,
    Path(id): Path<Uuid>,
    body: Body<TermsInput>,
) -> Result<Response, ApiError> {
    let Json(input) = body?;
    let campaign = campaign(&app, workspace.id, id).await?;
    let objective = Objective::from_code(&campaign.objective).unwrap_or(Objective::Sale);
    let terms = input.terms(objective, workspace.platform_fee_bps)?;
    let mut transaction = store::begin(&app.pool).await?;
    let version = store::campaigns::insert_terms(&mut transaction, CampaignId(id), &terms).await?;
    let shown = json!({
        "version": version, "status": terms.status, "pay": terms.pay, "model": terms.model,
    });
    commit(&workspace.actor, transaction, "change_terms", "campaign", id, &shown).await?;
    Ok(created(shown))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StatusInput {
    status: CampaignStatus,
}

/// Pauses a campaign, or lets it go on.
pub(crate) async fn set_status(
    State(app): State<Arc<App>>,
    InWorkspace(workspace): InWorkspace,
    Path(id): Path<Uuid>,
    body: Body<StatusInput>,
) -> Result<Response, ApiError> {
    let Json(input) = body?;
    let before = campaign(&app, workspace.id, id).await?;
    if before.closed_at_ms.is_some() {
        return Err(ApiError::conflict("the campaign is closed"));
    }
    let mut transaction = store::begin(&app.pool).await?;
    let version = store::campaigns::set_status(&mut transaction, CampaignId(id), input.status).await?;
    let shown = json!({ "version": version, "status": input.status });
    commit(&workspace.actor, transaction, "set_status", "campaign", id, &shown).await?;
    Ok(Json(shown).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MemberInput {
    creator_id: Uuid,
    status: MemberStatus,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum MemberStatus {
    Pending,
    Accepted,
    Rejected,
    Completed,
}

impl MemberStatus {
    fn code(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::Completed => "completed",
        }
    }
}

pub(crate) async fn set_member(
    State(app): State<Arc<App>>,
    InWorkspace(workspace): InWorkspace,
    Path(id): Path<Uuid>,
    body: Body<MemberInput>,
) -> Result<Response, ApiError> {
    let Json(input) = body?;
    campaign(&app, workspace.id, id).await?;
    let status = input.status.code();
    let mut transaction = store::begin(&app.pool).await?;
    if !store::campaigns::set_creator(&mut transaction, id, input.creator_id, status).await? {
        return Err(ApiError::not_found("creator"));
    }
    let shown = json!({ "creator_id": input.creator_id, "status": status });
    commit(&workspace.actor, transaction, "set_creator", "campaign", id, &shown).await?;
    Ok(Json(shown).into_response())
}
