//! Sessions: what a visitor did until nothing came for a while.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use clickhouse::Row;
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::periods::Window;

use super::asked::{Asked, Parameters};
use super::form::{Report, object, ratio};
use super::period::invalid;
use crate::access::InFinance;
use crate::error::ApiError;
use crate::server::App;

/// What sessions are told apart by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Dimension {
    /// Nothing: all of them in one row.
    #[default]
    Nothing,
    /// The first page.
    Entry,
    /// The last page.
    Exit,
    /// The country of the first event.
    Country,
    /// The device of the first event.
    Device,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SessionParameters {
    #[serde(default)]
    by: Dimension,
    /// A session ends when nothing came for longer.
    #[serde(default = "half_an_hour")]
    gap_minutes: u16,
}

impl Parameters for SessionParameters {
    const NAMES: &'static [&'static str] = &["by", "gap_minutes"];
    const IS_PAGED: bool = true;
    const IS_FILTERED: bool = false;
}

fn half_an_hour() -> u16 {
    30
}

#[derive(Row, Deserialize)]
struct Sessions {
    key: String,
    total: u64,
    sessions: u64,
    visitors: u64,
    bounces: u64,
    page_views: u64,
    duration_ms: i64,
}

const COLUMNS: &[&str] = &[
    "key",
    "sessions",
    "visitors",
    "bounces",
    "bounce_rate",
    "page_views",
    "pages_per_session",
    "mean_duration_ms",
];

pub(crate) async fn sessions(
    State(app): State<Arc<App>>,
    InFinance(workspace): InFinance,
    asked: Asked<SessionParameters>,
) -> Result<Response, ApiError> {
    let Asked { own: SessionParameters { by, gap_minutes }, period, page, form, .. } = asked;
    if !(1..=1_440).contains(&gap_minutes) {
        return Err(invalid("gap_minutes must be 1 to 1440"));
    }
    let period = period.read(&app, &workspace, Window::Days30).await?;
    let by = serde_json::to_value(by).unwrap_or_default();
    let sql = app.clickhouse.query(include_str!("../../../clickhouse/queries/sessions.sql"));
    let sessions: Vec<Sessions> = page
        .param(period.param(sql, &workspace))
        .param("by", by.as_str().unwrap_or_default())
        .param("gap_ms", i64::from(gap_minutes) * 60_000)
        .fetch_all()
        .await?;
    let mut asked = period.told(&workspace);
    asked.insert("by".to_owned(), by);
    asked.insert("gap_minutes".to_owned(), json!(gap_minutes));
    page.tell(&mut asked, sessions.first().map(|row| row.total));
    let rows = sessions.into_iter().map(|row| {
        object(json!({
            "key": row.key,
            "sessions": row.sessions,
            "visitors": row.visitors,
            "bounces": row.bounces,
            "bounce_rate": ratio(row.bounces as f64, row.sessions),
            "page_views": row.page_views,
            "pages_per_session": ratio(row.page_views as f64, row.sessions),
            "mean_duration_ms": ratio(row.duration_ms as f64, row.sessions),
        }))
    });
    Ok(Report { asked, columns: COLUMNS, rows: rows.collect() }.answer(form))
}
