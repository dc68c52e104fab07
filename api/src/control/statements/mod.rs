//! Statements for creators: issued once, and then the same for ever. `render`
//! makes pages and tables of them.

mod render;

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use domain::money::Currency;
use domain::timestamp::read_moment;
use runtime::clock::now_ms;
use serde::Deserialize;
use serde_json::{Value, json};
use store::statements::{Filter, StatementLineRow, StatementRow};
use uuid::Uuid;

use crate::access::InFinance;
use crate::control::withdrawals::{lock_wallet, wallet_key};
use crate::control::{Body, commit, created};
use crate::error::ApiError;
use crate::server::App;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StatementInput {
    creator_id: Uuid,
    /// What happened before is on it: RFC 3339, or a day (UTC).
    before: String,
}

/// Issues a creator's statement. The same period is issued once.
pub(crate) async fn issue(
    State(app): State<Arc<App>>,
    InFinance(workspace): InFinance,
    body: Body<StatementInput>,
) -> Result<Response, ApiError> {
    let Json(input) = body?;
    let end_ms = read_moment(&input.before)
        .ok_or_else(|| ApiError::invalid("before", "write 2026-02-01 or 2026-02-01T00:00:00Z"))?;
    if end_ms > now_ms() {
        return Err(ApiError::invalid("before", "the period is not over yet"));
    }
    let creators = store::control::list_creators(&app.pool, workspace.id).await?;
    if !creators.iter().any(|creator| creator.id == input.creator_id) {
        return Err(ApiError::not_found("creator"));
    }
    let wallet = wallet_key(&workspace, input.creator_id)?;
    let mut transaction = store::begin(&app.pool).await?;
    // Whatever is being posted to the creator is then over, or comes after.
    lock_wallet(&mut transaction, wallet).await?;
    let same = Filter { creator: Some(input.creator_id), period_end_ms: Some(end_ms), id: None };
    let found = store::statements::list(&mut transaction, workspace.id, same, 1).await?;
    if let Some(found) = found.into_iter().find(|statement| statement.currency == workspace.currency) {
        let lines = store::statements::lines(&mut transaction, found.id).await?;
        return Ok(Json(shown(&found, &lines)).into_response());
    }
    let latest_ms = store::statements::latest_end_ms(&mut transaction, wallet).await?;
    if latest_ms.is_some_and(|latest_ms| end_ms < latest_ms) {
        return Err(ApiError::conflict("a later period has been issued already"));
    }
    let id = Uuid::now_v7();
    store::statements::issue(&mut transaction, id, wallet, end_ms, &workspace.actor.name()).await?;
    let this = Filter { id: Some(id), ..Filter::default() };
    let made = store::statements::list(&mut transaction, workspace.id, this, 1).await?;
    let made = made.into_iter().next().ok_or_else(|| ApiError::not_found("statement"))?;
    let lines = store::statements::lines(&mut transaction, id).await?;
    commit(&workspace.actor, transaction, "issue", "statement", id, &json!(made)).await?;
    Ok(created(shown(&made, &lines)))
}

fn shown(statement: &StatementRow, lines: &[StatementLineRow]) -> Value {
    json!({ "statement": statement, "lines": lines })
}

#[derive(Deserialize)]
pub(crate) struct ListQuery {
    creator: Option<Uuid>,
}

pub(crate) async fn list(
    State(app): State<Arc<App>>,
    InFinance(workspace): InFinance,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(query) = query?;
    let filter = Filter { creator: query.creator, ..Filter::default() };
    let mut transaction = store::begin(&app.pool).await?;
    let statements = store::statements::list(&mut transaction, workspace.id, filter, 1_000).await?;
    Ok(Json(json!({ "statements": statements })).into_response())
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Format {
    #[default]
    Json,
    Csv,
    Html,
}

#[derive(Deserialize)]
pub(crate) struct FormatQuery {
    #[serde(default)]
    format: Format,
}

pub(crate) async fn get(
    State(app): State<Arc<App>>,
    InFinance(workspace): InFinance,
    Path(id): Path<Uuid>,
    query: Result<Query<FormatQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(query) = query?;
    let mut transaction = store::begin(&app.pool).await?;
    let this = Filter { id: Some(id), ..Filter::default() };
    let found = store::statements::list(&mut transaction, workspace.id, this, 1).await?;
    let statement = found.into_iter().next().ok_or_else(|| ApiError::not_found("statement"))?;
    let lines = store::statements::lines(&mut transaction, id).await?;
    let currency =
        Currency::new(&statement.currency).map_err(|error| ApiError::invalid("currency", error))?;
    Ok(match query.format {
        Format::Json => Json(shown(&statement, &lines)).into_response(),
        Format::Csv => {
            ([(CONTENT_TYPE, "text/csv; charset=utf-8")], render::csv(&statement, &lines, currency))
                .into_response()
        }
        Format::Html => {
            let page = render::html(&workspace.name, &statement, &lines, currency);
            ([(CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response()
        }
    })
}
