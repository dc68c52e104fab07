//! Reports: leaderboards out of ClickHouse; wallets and explanations out of
//! the books.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use clickhouse::Row;
use domain::command::Reason;
use domain::ids::{EventId, WorkspaceId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::outcomes::OutcomeRow;
use uuid::Uuid;

use crate::access::InFinance;
use crate::error::ApiError;
use crate::server::App;

#[derive(Clone, Copy, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Metric {
    Clicks,
    UniqueClicks,
    Conversions,
    Revenue,
    Earnings,
}

#[derive(Deserialize)]
pub(crate) struct LeaderboardQuery {
    metric: Metric,
    #[serde(default)]
    from_ms: i64,
    #[serde(default = "default_limit")]
    limit: u32,
}

fn default_limit() -> u32 {
    20
}

#[derive(Row, Deserialize)]
struct LeaderboardRow {
    rank: u64,
    #[serde(with = "clickhouse::serde::uuid")]
    creator_id: Uuid,
    value: i64,
    clicks: i64,
    unique_clicks: i64,
    conversions: i64,
    revenue_minor: i64,
    earnings_minor: i64,
}

pub(crate) async fn leaderboard(
    State(app): State<Arc<App>>,
    InFinance(workspace): InFinance,
    query: Result<Query<LeaderboardQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(query) = query?;
    if !(1..=1_000).contains(&query.limit) {
        return Err(ApiError::new(StatusCode::BAD_REQUEST, "invalid_query", "limit must be 1 to 1000"));
    }
    let metric = serde_json::to_value(query.metric).unwrap_or_default();
    let rows: Vec<LeaderboardRow> = app
        .clickhouse
        .query(include_str!("../queries/leaderboard.sql"))
        .param("workspace", workspace.id.to_string())
        .param("currency", &workspace.currency)
        .param("metric", metric.as_str().unwrap_or_default())
        .param("from_ms", query.from_ms.max(0))
        .param("limit", query.limit)
        .fetch_all()
        .await?;
    let creators = store::control::list_creators(&app.pool, workspace.id).await?;
    let names: HashMap<Uuid, String> =
        creators.into_iter().map(|creator| (creator.id, creator.display_name)).collect();
    let rows: Vec<Value> = rows
        .into_iter()
        .map(|row| {
            json!({
                "rank": row.rank,
                "creator_id": row.creator_id,
                "display_name": names.get(&row.creator_id),
                "value": row.value,
                "clicks": row.clicks,
                "unique_clicks": row.unique_clicks,
                "conversions": row.conversions,
                "revenue_minor": row.revenue_minor,
                "earnings_minor": row.earnings_minor,
            })
        })
        .collect();
    let body = json!({ "metric": metric, "currency": workspace.currency, "rows": rows });
    Ok(Json(body).into_response())
}

pub(crate) async fn wallet(
    State(app): State<Arc<App>>,
    InFinance(workspace): InFinance,
    Path(user): Path<Uuid>,
) -> Result<Response, ApiError> {
    let creators = store::control::list_creators(&app.pool, workspace.id).await?;
    let Some(creator) = creators.into_iter().find(|creator| creator.id == user) else {
        return Err(ApiError::not_found("creator"));
    };
    let balances = store::ledger::balances(&app.pool, workspace.id, user).await?;
    let balance = |kind: &str| -> i64 {
        let of_kind = balances.iter().filter(|b| b.kind == kind && b.currency == workspace.currency);
        of_kind.map(|b| b.balance_minor).sum()
    };
    let body = json!({
        "user_id": user,
        "display_name": creator.display_name,
        "currency": workspace.currency,
        "pending_minor": balance("creator_pending"),
        "available_minor": balance("creator_available"),
        "in_transit_minor": balance("creator_in_transit"),
        "paid_minor": balance("creator_paid"),
        "debt_minor": balance("creator_debt").saturating_neg(),
    });
    Ok(Json(body).into_response())
}

/// Why a conversion, sale or click was credited or not. `id` is the event id
/// that the collector answered with, or the client's own.
pub(crate) async fn explain(
    State(app): State<Arc<App>>,
    InFinance(workspace): InFinance,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let mut ids = vec![EventId::from_client(WorkspaceId(workspace.id), &id).0];
    // A sale that names no id of its own is named by its order, a payment by its
    // number.
    for kind in ["sale", "payment"] {
        ids.push(EventId::from_client(WorkspaceId(workspace.id), &format!("{kind}:{id}")).0);
    }
    ids.extend(Uuid::parse_str(&id).ok());
    let outcomes = store::outcomes::of_events(&app.pool, workspace.id, &ids).await?;
    if outcomes.is_empty() {
        let message = "nothing is decided under this id in this workspace; what was accepted may still wait for its click";
        return Err(ApiError::new(StatusCode::NOT_FOUND, "not_found", message));
    }
    let mut legs = Vec::with_capacity(outcomes.len());
    for outcome in outcomes {
        let entries = match outcome.transaction_id {
            Some(transaction) => store::ledger::entries(&app.pool, transaction).await?,
            None => Vec::new(),
        };
        let refunds = store::outcomes::refunds_of(&app.pool, outcome.event_id, outcome.leg).await?;
        let sentence = outcome.reason.as_deref().and_then(sentence_of);
        legs.push(json!({
            "leg": outcome.leg,
            "status": outcome.status,
            "reason": outcome.reason,
            "because": sentence,
            "kind": outcome.kind,
            "at_ms": outcome.at_ms,
            "campaign_id": outcome.campaign_id,
            "creator_id": outcome.creator_id,
            "click_id": outcome.click_id,
            "value_minor": outcome.value_minor,
            "value_currency": outcome.value_currency,
            "payout": payout(&outcome),
            "refund": outcome.refund_id.as_ref().map(|refund_id| json!({
                "refund_id": refund_id,
                "of_event_id": outcome.original_event_id,
                "of_leg": outcome.original_leg,
            })),
            "attribution": outcome.refund_id.is_none().then_some(&outcome.basis),
            "refunds": refunds,
            "transaction_id": outcome.transaction_id,
            "entries": entries,
            "batch_id": outcome.batch_id,
        }));
    }
    Ok(Json(json!({ "id": id, "legs": legs })).into_response())
}

/// What was paid for an outcome, if anything was.
fn payout(outcome: &OutcomeRow) -> Option<Value> {
    let mut payout = json!({
        "gross_minor": outcome.gross_minor?,
        "creator_minor": outcome.creator_minor,
        "fee_minor": outcome.fee_minor,
        "fee_bps": outcome.fee_bps,
        "currency": outcome.currency,
    });
    if let Some(other_minor) = outcome.other_minor {
        payout["processor_fee_minor"] = json!(other_minor);
    }
    Some(payout)
}

fn sentence_of(code: &str) -> Option<&'static str> {
    Reason::ALL.into_iter().find(|reason| reason.code() == code).map(Reason::sentence)
}
