//! Statements for creators: issued once, and then the same for ever.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use domain::money::{Currency, Money};
use domain::timestamp::{day, read_moment};
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
        Format::Csv => ([(CONTENT_TYPE, "text/csv; charset=utf-8")], csv(&lines, currency)).into_response(),
        Format::Html => {
            let page = html(&workspace.name, &statement, &lines, currency);
            ([(CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response()
        }
    })
}

fn decimal(amount_minor: i64, currency: Currency) -> String {
    Money { amount_minor, currency }.decimal()
}

/// A moment, with its time unless that is midnight (UTC).
fn moment(at_ms: i64) -> String {
    let seconds = at_ms.rem_euclid(24 * 60 * 60 * 1_000) / 1_000;
    match seconds {
        0 => day(at_ms),
        _ => {
            format!("{} {:02}:{:02}:{:02} UTC", day(at_ms), seconds / 3_600, seconds / 60 % 60, seconds % 60)
        }
    }
}

/// What is behind a line, in words.
fn behind(line: &StatementLineRow) -> String {
    let text = |field: &str| line.detail[field].as_str().unwrap_or("?");
    match line.kind.as_str() {
        "credit" => format!("{} {} of {}", text("action"), text("event_id"), text("campaign")),
        "clawback" => format!("refund {} of {}", text("refund_id"), text("of_event_id")),
        _ => format!("{} {}", text("method"), text("external_id")),
    }
}

fn csv(lines: &[StatementLineRow], currency: Currency) -> String {
    let mut table = "line,date,kind,what,amount,currency,transaction_id\r\n".to_owned();
    for line in lines {
        let what = quoted(&behind(line));
        let amount = decimal(line.amount_minor, currency);
        let (number, day, kind, id) = (line.line, day(line.at_ms), &line.kind, line.transaction_id);
        write!(table, "{number},{day},{kind},{what},{amount},{currency},{id}\r\n")
            .expect("writing to a string");
    }
    table
}

/// A field of CSV. One that a spreadsheet would take for a formula is none.
fn quoted(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

const STYLE: &str = "body{font:11pt/1.4 sans-serif;max-width:48em;margin:2em auto}table{width:100%;\
border-collapse:collapse}td,th{padding:.2em .4em;text-align:left;border-bottom:1px solid #ccc}\
.n{text-align:right;font-variant-numeric:tabular-nums}@media print{body{margin:0}}";

/// A page to be printed.
fn html(workspace: &str, statement: &StatementRow, lines: &[StatementLineRow], currency: Currency) -> String {
    let mut rows = String::new();
    let mut row = |day: &str, what: &str, amount_minor: i64, strong: bool| {
        let (open, close) = if strong { ("<b>", "</b>") } else { ("", "") };
        let (what, amount) = (escaped(what), decimal(amount_minor, currency));
        let cells =
            format!("<td>{day}</td><td>{open}{what}{close}</td><td class=n>{open}{amount}{close}</td>");
        writeln!(rows, "<tr>{cells}</tr>").expect("writing to a string");
    };
    row("", "Opening balance", statement.opening_minor, true);
    for line in lines {
        row(&day(line.at_ms), &format!("{}: {}", line.kind, behind(line)), line.amount_minor, false);
    }
    row("", "Closing balance", statement.closing_minor, true);
    let (name, workspace) = (escaped(&statement.display_name), escaped(workspace));
    let since = statement.period_start_ms.map_or_else(|| "the beginning".to_owned(), moment);
    let (until, number) = (moment(statement.period_end_ms), statement.sequence);
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>Statement {number} of {name}</title>\
         <style>{STYLE}</style><h1>Statement {number}</h1><p>{workspace} to {name}, from {since} to {until} \
         (not included), in {currency}. {}</p><table><tr><th>Date<th>What<th class=n>Amount</tr>\n{rows}</table></html>\n",
        statement.id
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_end_when_they_end() {
        assert_eq!(moment(1_795_219_200_000), "2026-11-21");
        assert_eq!(moment(1_795_289_851_000), "2026-11-21 19:37:31 UTC");
    }

    #[test]
    fn what_strangers_wrote_stays_text() {
        assert_eq!(quoted("a \"b\", c"), "\"a \"\"b\"\", c\"");
        assert_eq!(quoted("=HYPERLINK(1)"), "\"'=HYPERLINK(1)\"");
        assert_eq!(escaped("<b>&\"x\"</b>"), "&lt;b&gt;&amp;&quot;x&quot;&lt;/b&gt;");
    }
}
