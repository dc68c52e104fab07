//! Money for campaigns, and back to their businesses.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use domain::command::{Boost, Closing, Command, Funding};
use domain::ids::{CampaignId, UserId, WorkspaceId};
use domain::money::{Currency, Money, check_amount, fee_of};
use domain::rules::CampaignStatus;
use runtime::clock::now_ms;
use serde::Deserialize;
use serde_json::{Value, json};
use store::ledger::CommandState;
use uuid::Uuid;

use crate::access::{InWorkspace, Tenant};
use crate::control::campaigns::campaign;
use crate::control::payments::rates_in_force;
use crate::control::{Body, commit, created};
use crate::error::ApiError;
use crate::server::App;

/// A caller waits at most this long for a command to be settled.
const SETTLEMENT_WAIT: Duration = Duration::from_secs(10);

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
    let Json(FundingInput { external_id, amount_minor }) = body?;
    fund_by(&app, &workspace, id, external_id, amount_minor, None).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BoostInput {
    external_id: String,
    amount_minor: i64,
    supporter_id: Uuid,
}

/// A supporter's money for a campaign. What of it is their reward, by the
/// payment terms in force now, goes into their wallet.
pub(crate) async fn boost(
    State(app): State<Arc<App>>,
    InWorkspace(workspace): InWorkspace,
    Path(id): Path<Uuid>,
    body: Body<BoostInput>,
) -> Result<Response, ApiError> {
    let Json(BoostInput { external_id, amount_minor, supporter_id }) = body?;
    if !store::control::is_user(&app.pool, workspace.id, supporter_id).await? {
        return Err(ApiError::not_found("supporter"));
    }
    let rates = rates_in_force(&app, workspace.id).await?;
    let reward = fee_of(amount_minor, rates.boost_reward_bps);
    let reward_minor = reward.map_err(|error| ApiError::invalid("amount_minor", error))?;
    let boost = Boost { supporter: UserId(supporter_id), reward_minor };
    fund_by(&app, &workspace, id, external_id, amount_minor, Some(boost)).await
}

async fn fund_by(
    app: &App,
    workspace: &Tenant,
    id: Uuid,
    external_id: String,
    amount_minor: i64,
    boost: Option<Boost>,
) -> Result<Response, ApiError> {
    if amount_minor <= 0 || check_amount(amount_minor).is_err() {
        return Err(ApiError::invalid("amount_minor", "must be above 0 and within the limit"));
    }
    if external_id.is_empty() || external_id.len() > 128 {
        return Err(ApiError::invalid("external_id", "must have 1 to 128 bytes"));
    }
    let campaign = campaign(app, workspace.id, id).await?;
    let currency = Currency::new(&campaign.currency).map_err(|error| ApiError::invalid("currency", error))?;
    let funding = Funding {
        external_id,
        workspace: WorkspaceId(workspace.id),
        campaign: CampaignId(id),
        money: Money { amount_minor, currency },
        at_ms: now_ms(),
        boost,
    };
    let transaction = store::begin(&app.pool).await?;
    let action = if boost.is_some() { "boost" } else { "fund" };
    commit(&workspace.actor, transaction, action, "campaign", id, &json!(funding)).await?;
    let mut shown = json!({ "id": funding.id(), "external_id": funding.external_id, "money": funding.money });
    if let Some(boost) = boost {
        shown["boost"] = json!(boost);
    }
    send(app, &Command::Fund(funding), "funding", &shown).await
}

/// Ends a campaign: from a few seconds later nothing is attributed to it any
/// more, and what it has left goes back to its business. It closes once.
pub(crate) async fn close(
    State(app): State<Arc<App>>,
    InWorkspace(workspace): InWorkspace,
    Path(id): Path<Uuid>,
) -> Result<Response, ApiError> {
    let campaign = campaign(&app, workspace.id, id).await?;
    let currency = Currency::new(&campaign.currency).map_err(|error| ApiError::invalid("currency", error))?;
    let closing =
        Closing { workspace: WorkspaceId(workspace.id), campaign: CampaignId(id), currency, at_ms: now_ms() };
    let mut transaction = store::begin(&app.pool).await?;
    let completed = CampaignStatus::Completed;
    store::campaigns::set_status(&mut transaction, CampaignId(id), completed).await?;
    commit(&workspace.actor, transaction, "close", "campaign", id, &json!(closing)).await?;
    let shown = json!({ "id": closing.id(), "campaign_id": id });
    send(&app, &Command::Close(closing), "closing", &shown).await
}

/// Gives a command its place in the campaign's log, and waits for it.
async fn send(app: &App, command: &Command, name: &str, shown: &Value) -> Result<Response, ApiError> {
    let payload = serde_json::to_vec(command).expect("commands are JSON");
    let topic = &app.settings.credits_topic;
    if let Err(error) = app.publisher.publish(topic, command.key().to_string().as_bytes(), &payload).await {
        tracing::error!(%error, name, "a command was not published");
        let message = "Kafka does not answer; send the same request again, it counts once";
        return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "kafka_unavailable", message));
    }
    answer(app, command, name, shown).await
}

async fn answer(app: &App, command: &Command, name: &str, shown: &Value) -> Result<Response, ApiError> {
    let started = Instant::now();
    loop {
        match store::ledger::command_state(&app.pool, command).await? {
            CommandState::Posted => return Ok(created(json!({ name: shown, "state": "posted" }))),
            CommandState::Quarantined { reason } => return Err(ApiError::conflict(reason)),
            CommandState::Waiting if started.elapsed() < SETTLEMENT_WAIT => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            CommandState::Waiting => {
                let body = json!({ name: shown, "state": "waiting" });
                return Ok((StatusCode::ACCEPTED, Json(body)).into_response());
            }
        }
    }
}
