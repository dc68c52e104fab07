//! What users ask for themselves, with a key of their own. All of it is read as
//! the role that the database's row-level policies bind.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use domain::wallet::Method;
use serde::Deserialize;
use serde_json::json;
use store::access::{KeyUser, begin_as, latest_outcomes};
use uuid::Uuid;

use crate::access::Actor;
use crate::control::withdrawals::{WithdrawalInput, request_by};
use crate::error::ApiError;
use crate::server::App;

/// At most this many of anything.
const LIMIT: i64 = 200;

/// The request carries a user's key.
pub(crate) struct Me(KeyUser);

impl FromRequestParts<Arc<App>> for Me {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        match Actor::from_request_parts(parts, app).await? {
            Actor::User(user) => Ok(Self(user)),
            Actor::Admin => {
                let message = "the admin key is nobody's own; ask with a user's key";
                Err(ApiError::new(StatusCode::FORBIDDEN, "wrong_role", message))
            }
        }
    }
}

pub(crate) async fn who(Me(me): Me) -> Response {
    Json(json!({ "user_id": me.user_id, "workspace_id": me.workspace_id, "role": me.role })).into_response()
}

/// The user's accounts, by kind and currency.
pub(crate) async fn wallet(State(app): State<Arc<App>>, Me(me): Me) -> Result<Response, ApiError> {
    let mut transaction = begin_as(&app.pool, &me).await?;
    let balances = store::ledger::balances(&mut *transaction, me.workspace_id, me.user_id).await?;
    Ok(Json(json!({ "user_id": me.user_id, "balances": balances })).into_response())
}

/// The campaigns that the user may see; budgets of their own only.
pub(crate) async fn campaigns(State(app): State<Arc<App>>, Me(me): Me) -> Result<Response, ApiError> {
    let mut transaction = begin_as(&app.pool, &me).await?;
    let campaigns = store::campaigns::list(&mut *transaction, me.workspace_id, None).await?;
    Ok(Json(json!({ "campaigns": campaigns })).into_response())
}

/// The newest outcomes.
pub(crate) async fn outcomes(State(app): State<Arc<App>>, Me(me): Me) -> Result<Response, ApiError> {
    let mut transaction = begin_as(&app.pool, &me).await?;
    let outcomes = latest_outcomes(&mut transaction, me.workspace_id, LIMIT).await?;
    Ok(Json(json!({ "outcomes": outcomes })).into_response())
}

pub(crate) async fn withdrawals(State(app): State<Arc<App>>, Me(me): Me) -> Result<Response, ApiError> {
    let mut transaction = begin_as(&app.pool, &me).await?;
    let all = store::withdrawals::Filter::default();
    let withdrawals = store::withdrawals::list(&mut transaction, me.workspace_id, all, LIMIT).await?;
    Ok(Json(json!({ "withdrawals": withdrawals })).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RequestInput {
    amount_minor: i64,
    method: Method,
    external_id: String,
}

/// Sets the creator's own money aside to be sent.
pub(crate) async fn request_withdrawal(
    State(app): State<Arc<App>>,
    Me(me): Me,
    body: Result<Json<RequestInput>, JsonRejection>,
) -> Result<Response, ApiError> {
    let Json(RequestInput { amount_minor, method, external_id }) = body?;
    if me.role != "creator" {
        let message = "only creators withdraw for themselves";
        return Err(ApiError::new(StatusCode::FORBIDDEN, "wrong_role", message));
    }
    let found = store::control::find_workspace(&app.pool, &me.workspace_id.to_string()).await?;
    let workspace = found.ok_or_else(|| ApiError::not_found("workspace"))?;
    let input = WithdrawalInput { creator_id: me.user_id, amount_minor, method, external_id };
    request_by(&app, &workspace, &Actor::User(me), &input).await
}

pub(crate) async fn statements(State(app): State<Arc<App>>, Me(me): Me) -> Result<Response, ApiError> {
    let mut transaction = begin_as(&app.pool, &me).await?;
    let all = store::statements::Filter::default();
    let statements = store::statements::list(&mut transaction, me.workspace_id, all, LIMIT).await?;
    Ok(Json(json!({ "statements": statements })).into_response())
}

/// A statement, with its lines.
pub(crate) async fn statement(
    State(app): State<Arc<App>>,
    Me(me): Me,
    Path(id): Path<Uuid>,
) -> Result<Response, ApiError> {
    let mut transaction = begin_as(&app.pool, &me).await?;
    let this = store::statements::Filter { id: Some(id), ..Default::default() };
    let found = store::statements::list(&mut transaction, me.workspace_id, this, 1).await?;
    let Some(statement) = found.first() else { return Err(ApiError::not_found("statement")) };
    let lines = store::statements::lines(&mut transaction, id).await?;
    Ok(Json(json!({ "statement": statement, "lines": lines })).into_response())
}
