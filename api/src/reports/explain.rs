//! Why something was credited, or was not, out of the books.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use domain::command::Reason;
use domain::ids::{EventId, WorkspaceId};
use serde_json::{Value, json};
use store::outcomes::OutcomeRow;
use uuid::Uuid;

use crate::access::InFinance;
use crate::error::ApiError;
use crate::server::App;

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
