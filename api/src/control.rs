//! Control calls: workspaces, creators, campaigns, funding, links. Each change
//! is written down in the audit log, in the same transaction.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use domain::command::{Command, Funding};
use domain::ids::{CampaignId, LinkId, WorkspaceId};
use domain::money::{Currency, FULL_BPS, Money, check_amount};
use domain::rules::{CampaignStatus, DEFAULT_WINDOW_MS, Objective};
use runtime::clock::now_ms;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::campaigns::{NewCampaign, NewTerms};
use store::control::{NewUser, NewWorkspace};
use store::ledger::FundingState;
use store::links::NewLink;
use uuid::Uuid;

use crate::access::{Admin, InWorkspace, hash_key};
use crate::error::ApiError;
use crate::server::App;

/// The actor in the audit log of whoever has the admin key.
const ADMIN: &str = "admin";
/// A caller waits at most this long for a funding to be settled.
const FUNDING_WAIT: Duration = Duration::from_secs(10);
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

type Body<T> = Result<Json<T>, JsonRejection>;

fn created(body: impl Serialize) -> Response {
    (StatusCode::CREATED, Json(body)).into_response()
}

fn fresh_key() -> String {
    format!("trib_{}", runtime::random::hex_id())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WorkspaceInput {
    slug: String,
    name: String,
    currency: String,
    platform_fee_bps: u16,
    time_zone: Option<String>,
}

pub(crate) async fn create_workspace(
    State(app): State<Arc<App>>,
    _: Admin,
    body: Body<WorkspaceInput>,
) -> Result<Response, ApiError> {
    let Json(input) = body?;
    let currency = Currency::new(&input.currency).map_err(|error| ApiError::invalid("currency", error))?;
    check_bps("platform_fee_bps", input.platform_fee_bps)?;
    let workspace = NewWorkspace {
        id: WorkspaceId(Uuid::now_v7()),
        slug: input.slug,
        name: input.name,
        currency,
        platform_fee_bps: input.platform_fee_bps,
        time_zone: input.time_zone.unwrap_or_else(|| "UTC".to_owned()),
    };
    let key = fresh_key();
    let shown = json!({
        "id": workspace.id, "slug": workspace.slug, "name": workspace.name, "currency": workspace.currency,
        "platform_fee_bps": workspace.platform_fee_bps, "time_zone": workspace.time_zone,
    });
    let mut transaction = store::begin(&app.pool).await?;
    store::control::insert_workspace(&mut transaction, &workspace).await?;
    let (id, hash) = (Uuid::now_v7(), hash_key(&key));
    store::control::insert_key(&mut transaction, workspace.id, id, "first", &hash).await?;
    audit(&mut transaction, "create", "workspace", workspace.id.0, &shown).await?;
    store::commit(transaction).await?;
    // The key is shown here and never again.
    Ok(created(json!({ "workspace": shown, "api_key": key })))
}

pub(crate) async fn list_workspaces(State(app): State<Arc<App>>, _: Admin) -> Result<Response, ApiError> {
    let workspaces = store::control::list_workspaces(&app.pool).await?;
    Ok(Json(json!({ "workspaces": workspaces })).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyInput {
    name: String,
}

pub(crate) async fn create_key(
    State(app): State<Arc<App>>,
    InWorkspace(workspace): InWorkspace,
    body: Body<KeyInput>,
) -> Result<Response, ApiError> {
    let Json(input) = body?;
    let (id, key) = (Uuid::now_v7(), fresh_key());
    let mut transaction = store::begin(&app.pool).await?;
    let workspace = WorkspaceId(workspace.id);
    store::control::insert_key(&mut transaction, workspace, id, &input.name, &hash_key(&key)).await?;
    audit(&mut transaction, "create", "api_key", id, &json!({ "name": input.name })).await?;
    store::commit(transaction).await?;
    Ok(created(json!({ "id": id, "name": input.name, "api_key": key })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreatorInput {
    email: String,
    username: String,
    display_name: String,
    #[serde(default)]
    hashtags: Vec<String>,
}

pub(crate) async fn create_creator(
    State(app): State<Arc<App>>,
    InWorkspace(workspace): InWorkspace,
    body: Body<CreatorInput>,
) -> Result<Response, ApiError> {
    let Json(input) = body?;
    let user = NewUser {
        id: Uuid::now_v7(),
        workspace: WorkspaceId(workspace.id),
        email: input.email,
        username: input.username,
        display_name: input.display_name,
    };
    let shown = json!({
        "id": user.id, "email": user.email, "username": user.username,
        "display_name": user.display_name, "hashtags": input.hashtags,
    });
    let mut transaction = store::begin(&app.pool).await?;
    store::control::insert_creator(&mut transaction, &user, &input.hashtags).await?;
    audit(&mut transaction, "create", "creator", user.id, &shown).await?;
    store::commit(transaction).await?;
    Ok(created(shown))
}

pub(crate) async fn list_creators(
    State(app): State<Arc<App>>,
    InWorkspace(workspace): InWorkspace,
) -> Result<Response, ApiError> {
    let creators = store::control::list_creators(&app.pool, workspace.id).await?;
    Ok(Json(json!({ "creators": creators })).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BusinessInput {
    email: String,
    username: String,
    company_name: String,
    website: Option<String>,
}

pub(crate) async fn create_business(
    State(app): State<Arc<App>>,
    InWorkspace(workspace): InWorkspace,
    body: Body<BusinessInput>,
) -> Result<Response, ApiError> {
    let Json(input) = body?;
    let user = NewUser {
        id: Uuid::now_v7(),
        workspace: WorkspaceId(workspace.id),
        email: input.email,
        username: input.username,
        display_name: input.company_name.chars().take(100).collect(),
    };
    let shown = json!({
        "id": user.id, "email": user.email, "username": user.username,
        "company_name": input.company_name, "website": input.website,
    });
    let mut transaction = store::begin(&app.pool).await?;
    let (company, website) = (&input.company_name, input.website.as_deref());
    store::control::insert_business(&mut transaction, &user, company, website).await?;
    audit(&mut transaction, "create", "business", user.id, &shown).await?;
    store::commit(transaction).await?;
    Ok(created(shown))
}

pub(crate) async fn list_businesses(
    State(app): State<Arc<App>>,
    InWorkspace(workspace): InWorkspace,
) -> Result<Response, ApiError> {
    let businesses = store::control::list_businesses(&app.pool, workspace.id).await?;
    Ok(Json(json!({ "businesses": businesses })).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TermsInput {
    #[serde(default = "active")]
    status: CampaignStatus,
    payout_minor: i64,
    fee_bps: Option<u16>,
    window_days: Option<u16>,
    starts_at_ms: Option<i64>,
    ends_at_ms: Option<i64>,
}

fn active() -> CampaignStatus {
    CampaignStatus::Active
}

impl TermsInput {
    fn terms(&self, default_fee_bps: i32) -> Result<NewTerms, ApiError> {
        if self.payout_minor <= 0 || check_amount(self.payout_minor).is_err() {
            return Err(ApiError::invalid("payout_minor", "must be above 0 and within the limit"));
        }
        let default_fee_bps = u16::try_from(default_fee_bps).unwrap_or(FULL_BPS);
        let fee_bps = self.fee_bps.unwrap_or(default_fee_bps);
        check_bps("fee_bps", fee_bps)?;
        let window_ms = self.window_days.map_or(DEFAULT_WINDOW_MS, |days| i64::from(days) * DAY_MS);
        if window_ms > domain::attribution::MAX_WINDOW_MS {
            return Err(ApiError::invalid("window_days", "at most 90"));
        }
        if self.starts_at_ms.zip(self.ends_at_ms).is_some_and(|(start, end)| end <= start) {
            return Err(ApiError::invalid("ends_at_ms", "is not after starts_at_ms"));
        }
        Ok(NewTerms {
            status: self.status,
            payout_minor: self.payout_minor,
            fee_bps,
            window_ms,
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
    let terms = input.terms.terms(workspace.platform_fee_bps)?;
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
    audit(&mut transaction, "create", "campaign", campaign.id.0, &shown).await?;
    store::commit(transaction).await?;
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
async fn campaign(app: &App, workspace: Uuid, id: Uuid) -> Result<store::campaigns::CampaignRow, ApiError> {
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
    let terms = input.terms(workspace.platform_fee_bps)?;
    campaign(&app, workspace.id, id).await?;
    let mut transaction = store::begin(&app.pool).await?;
    let version = store::campaigns::insert_terms(&mut transaction, CampaignId(id), &terms).await?;
    let shown = json!({ "version": version, "status": terms.status, "payout_minor": terms.payout_minor });
    audit(&mut transaction, "change_terms", "campaign", id, &shown).await?;
    store::commit(transaction).await?;
    Ok(created(shown))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FundingInput {
    external_id: String,
    amount_minor: i64,
}

/// Sends a funding to settlement, and waits for it. Budgets have one writer,
/// settlement, so a funding takes its place in the campaign's log like every
/// payout.
pub(crate) async fn fund(
    State(app): State<Arc<App>>,
    InWorkspace(workspace): InWorkspace,
    Path(id): Path<Uuid>,
    body: Body<FundingInput>,
) -> Result<Response, ApiError> {
    let Json(input) = body?;
    if input.amount_minor <= 0 || check_amount(input.amount_minor).is_err() {
        return Err(ApiError::invalid("amount_minor", "must be above 0 and within the limit"));
    }
    if input.external_id.is_empty() || input.external_id.len() > 128 {
        return Err(ApiError::invalid("external_id", "must have 1 to 128 bytes"));
    }
    let campaign = campaign(&app, workspace.id, id).await?;
    let currency = Currency::new(&campaign.currency).map_err(|error| ApiError::invalid("currency", error))?;
    let funding = Funding {
        external_id: input.external_id,
        workspace: WorkspaceId(workspace.id),
        campaign: CampaignId(id),
        money: Money { amount_minor: input.amount_minor, currency },
        at_ms: now_ms(),
    };
    let mut transaction = store::begin(&app.pool).await?;
    audit(&mut transaction, "fund", "campaign", id, &serde_json::to_value(&funding).unwrap_or_default())
        .await?;
    store::commit(transaction).await?;
    let command = Command::Fund(funding.clone());
    let payload = serde_json::to_vec(&command).expect("commands are JSON");
    let topic = &app.settings.credits_topic;
    if let Err(error) = app.publisher.publish(topic, command.key().to_string().as_bytes(), &payload).await {
        tracing::error!(%error, "a funding was not published");
        let message = "Kafka does not answer; send the same request again, it funds once";
        return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "kafka_unavailable", message));
    }
    funding_answer(&app, &funding).await
}

async fn funding_answer(app: &App, funding: &Funding) -> Result<Response, ApiError> {
    let started = Instant::now();
    let shown = json!({ "id": funding.id(), "external_id": funding.external_id, "money": funding.money });
    loop {
        match store::ledger::funding_state(&app.pool, funding).await? {
            FundingState::Posted => {
                return Ok(created(json!({ "funding": shown, "state": "posted" })));
            }
            FundingState::Quarantined { reason } => return Err(ApiError::conflict(reason)),
            FundingState::Waiting if started.elapsed() < FUNDING_WAIT => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            FundingState::Waiting => {
                let body = json!({ "funding": shown, "state": "waiting" });
                return Ok((StatusCode::ACCEPTED, Json(body)).into_response());
            }
        }
    }
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
    audit(&mut transaction, "set_creator", "campaign", id, &shown).await?;
    store::commit(transaction).await?;
    Ok(Json(shown).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LinkInput {
    campaign_id: Uuid,
    creator_id: Uuid,
    code: String,
    destination_url: String,
    fallback_url: Option<String>,
    expires_at_ms: Option<i64>,
}

pub(crate) async fn create_link(
    State(app): State<Arc<App>>,
    InWorkspace(workspace): InWorkspace,
    body: Body<LinkInput>,
) -> Result<Response, ApiError> {
    let Json(input) = body?;
    check_code(&input.code)?;
    check_url("destination_url", &input.destination_url)?;
    if let Some(url) = &input.fallback_url {
        check_url("fallback_url", url)?;
    }
    let link = NewLink {
        id: LinkId(Uuid::now_v7()),
        workspace: WorkspaceId(workspace.id),
        campaign: input.campaign_id,
        creator: input.creator_id,
        code: input.code,
        destination_url: input.destination_url,
        fallback_url: input.fallback_url,
        expires_at_ms: input.expires_at_ms,
    };
    let mut transaction = store::begin(&app.pool).await?;
    if !store::links::insert(&mut transaction, &link).await? {
        let message = "the creator has not accepted this campaign, or one of them is not of this workspace";
        return Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "not_a_member", message));
    }
    let shown = json!({
        "id": link.id, "campaign_id": link.campaign, "creator_id": link.creator, "code": link.code,
        "destination_url": link.destination_url, "fallback_url": link.fallback_url,
        "expires_at_ms": link.expires_at_ms,
    });
    audit(&mut transaction, "create", "link", link.id.0, &shown).await?;
    store::commit(transaction).await?;
    Ok(created(shown))
}

pub(crate) async fn list_links(
    State(app): State<Arc<App>>,
    InWorkspace(workspace): InWorkspace,
) -> Result<Response, ApiError> {
    let links = store::links::list(&app.pool, workspace.id).await?;
    Ok(Json(json!({ "links": links })).into_response())
}

/// Paths that the collector has for itself and no link can have.
const RESERVED_CODES: [&str; 5] = ["healthz", "readyz", "metrics", "v1", "webhooks"];

fn check_code(code: &str) -> Result<(), ApiError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if code.is_empty() || code.len() > 20 || !code.chars().all(plain) {
        return Err(ApiError::invalid("code", "must be 1 to 20 letters, digits, - or _"));
    }
    if RESERVED_CODES.contains(&code) {
        return Err(ApiError::invalid("code", "is a path of the collector itself"));
    }
    Ok(())
}

fn check_url(field: &str, text: &str) -> Result<(), ApiError> {
    let url = url::Url::parse(text).map_err(|error| ApiError::invalid(field, error))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(ApiError::invalid(field, "must be an http or https address"));
    }
    if text.len() > 2_048 || text.chars().any(char::is_control) {
        return Err(ApiError::invalid(field, "is too long or has control characters"));
    }
    Ok(())
}

fn check_bps(field: &str, bps: u16) -> Result<(), ApiError> {
    if bps > FULL_BPS {
        return Err(ApiError::invalid(field, format!("{bps} basis points are more than 100 % ({FULL_BPS})")));
    }
    Ok(())
}

async fn audit(
    transaction: &mut store::Connection,
    action: &str,
    kind: &str,
    id: Uuid,
    after: &Value,
) -> Result<(), ApiError> {
    Ok(store::control::audit(transaction, ADMIN, action, kind, id, after).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_addresses_are_checked() {
        for code in ["a", "summer-24_X", "01234567890123456789"] {
            assert!(check_code(code).is_ok(), "{code}");
        }
        for code in ["", "a b", "a/b", "ü", "012345678901234567890", "metrics"] {
            assert!(check_code(code).is_err(), "{code}");
        }
        for url in ["https://shop.example/p?x=1#f", "http://localhost:3000"] {
            assert!(check_url("u", url).is_ok(), "{url}");
        }
        for url in
            ["javascript:alert(1)", "ftp://a.example", "/relative", "https://", "https://a.example/\r\nX: 1"]
        {
            assert!(check_url("u", url).is_err(), "{url}");
        }
    }
}
