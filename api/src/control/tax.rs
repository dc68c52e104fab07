//! From which sum on tax forms are due, and for whom.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use domain::money::{Currency, Money, check_amount};
use domain::payout::table::quoted;
use serde::Deserialize;
use serde_json::json;
use store::tax::{TaxLine, TaxThreshold};

use crate::access::InFinance;
use crate::control::{Body, commit, created};
use crate::error::ApiError;
use crate::server::App;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ThresholdInput {
    form: String,
    currency: Currency,
    from_year: i16,
    amount_minor: i64,
}

/// Sets a form's threshold, from a calendar year on until one of a later year.
pub(crate) async fn set_threshold(
    State(app): State<Arc<App>>,
    InFinance(workspace): InFinance,
    body: Body<ThresholdInput>,
) -> Result<Response, ApiError> {
    let Json(ThresholdInput { form, currency, from_year, amount_minor }) = body?;
    if form.trim().is_empty() || form.chars().count() > 64 {
        return Err(ApiError::invalid("form", "must have 1 to 64 characters, such as \"1099-NEC\""));
    }
    if !(2000..=9999).contains(&from_year) {
        return Err(ApiError::invalid("from_year", "must be a calendar year, 2000 to 9999"));
    }
    if amount_minor < 0 || check_amount(amount_minor).is_err() {
        return Err(ApiError::invalid("amount_minor", "must not be below 0, and within the limit"));
    }
    let threshold = TaxThreshold { form, currency: currency.to_string(), from_year, amount_minor };
    let mut transaction = store::begin(&app.pool).await?;
    store::tax::set_threshold(&mut transaction, workspace.id, &threshold, &workspace.actor.name()).await?;
    let shown = json!({ "threshold": threshold });
    commit(&workspace.actor, transaction, "set_tax_threshold", "workspace", workspace.id, &shown).await?;
    Ok(created(shown))
}

/// All thresholds.
pub(crate) async fn list_thresholds(
    State(app): State<Arc<App>>,
    InFinance(workspace): InFinance,
) -> Result<Response, ApiError> {
    let thresholds = store::tax::thresholds(&app.pool, workspace.id).await?;
    Ok(Json(json!({ "thresholds": thresholds })).into_response())
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Format {
    #[default]
    Json,
    Csv,
}

#[derive(Deserialize)]
pub(crate) struct ReportQuery {
    year: i16,
    #[serde(default)]
    format: Format,
}

/// What creators were paid within a calendar year, and whose sum reaches a
/// threshold.
pub(crate) async fn report(
    State(app): State<Arc<App>>,
    InFinance(workspace): InFinance,
    query: Result<Query<ReportQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(ReportQuery { year, format }) = query?;
    if !(2000..=9999).contains(&year) {
        return Err(ApiError::invalid("year", "must be a calendar year, 2000 to 9999"));
    }
    let lines = store::tax::report(&app.pool, workspace.id, year).await?;
    Ok(match format {
        Format::Json => Json(json!({ "year": year, "lines": lines })).into_response(),
        Format::Csv => ([(CONTENT_TYPE, "text/csv; charset=utf-8")], csv(year, &lines)?).into_response(),
    })
}

fn csv(year: i16, lines: &[TaxLine]) -> Result<String, ApiError> {
    let mut table =
        "year,form,creator_id,username,name,email,currency,paid,threshold,due,documents\r\n".to_owned();
    for line in lines {
        let currency = Currency::new(&line.currency).map_err(|error| ApiError::invalid("currency", error))?;
        let decimal = |amount_minor| Money { amount_minor, currency }.decimal();
        write!(
            table,
            "{year},{},{},{},{},{},{currency},{},{},{},{}\r\n",
            quoted(&line.form),
            line.creator_id,
            quoted(&line.username),
            quoted(&line.display_name),
            quoted(&line.email),
            decimal(line.paid_minor),
            decimal(line.threshold_minor),
            line.is_due,
            line.documents.join(" ")
        )
        .expect("writing to a string");
    }
    Ok(table)
}
