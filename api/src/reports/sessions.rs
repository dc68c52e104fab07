//! Sessions: what a visitor did until nothing came for a while.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use clickhouse::Row;
use serde::Deserialize;
use serde_json::json;
use store::periods::Window;
use store::rollups::{Counted, SESSION_PART_GAP_MS, sessions_to_count};

use super::MAX_QUERY_BYTES;
use super::asked::{Asked, Page, Parameters};
use super::form::{Report, object, ratio};
use super::period::{Period, invalid};
use crate::access::{InFinance, Tenant};
use crate::error::ApiError;
use crate::server::App;

const SESSIONS: &str = concat!(
    "WITH\n",
    include_str!("../../../clickhouse/queries/counted_sessions.sql"),
    include_str!("../../../clickhouse/queries/sessions.sql")
);

/// So often hours are looked at again that something came into; then all is told from the
/// events.
const MOST_TRIES: u32 = 4;

/// What sessions are told apart by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
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

impl Dimension {
    /// Its name, in requests, answers and queries.
    fn code(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Entry => "entry",
            Self::Exit => "exit",
            Self::Country => "country",
            Self::Device => "device",
        }
    }

    /// Where it is kept; of nothing, what is read fastest.
    fn column(self) -> &'static str {
        match self {
            Self::Nothing | Self::Device => "part.device",
            Self::Entry => "part.entry",
            Self::Exit => "part.exit",
            Self::Country => "part.country",
        }
    }
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
    let period = period.read(&app, &workspace, Window::Days30).await?.of_kept_events(&workspace)?;
    let gap_ms = i64::from(gap_minutes) * 60_000;
    let sessions = read(&app, &workspace, period, (by, gap_ms), page).await?;
    let mut asked = period.told(&workspace);
    asked.insert("by".to_owned(), json!(by.code()));
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

/// Sessions, from what is kept of whole hours and from the events of the others.
async fn read(
    app: &App,
    workspace: &Tenant,
    period: Period,
    (by, gap_ms): (Dimension, i64),
    page: Page,
) -> Result<Vec<Sessions>, ApiError> {
    let span_ms = (period.from_ms, period.to_ms);
    let to_count = || sessions_to_count(&app.pool, workspace.id, span_ms);
    // What is kept holds together across shorter pauses.
    let mut counted = if gap_ms < SESSION_PART_GAP_MS { Counted::all() } else { to_count().await? };
    let mut tries = 0;
    loop {
        let query = page
            .param(period.param(app.clickhouse.query(SESSIONS), workspace))
            .bind(&counted.asked_s)
            .with_setting("max_query_size", MAX_QUERY_BYTES)
            .param("all_hours", counted.all)
            .param("by", by.code())
            .param("keys", by.column())
            .param("part_gap_ms", gap_ms.min(SESSION_PART_GAP_MS))
            .param("gap_ms", gap_ms);
        let sessions = query.fetch_all().await?;
        if counted.all {
            return Ok(sessions);
        }
        // An hour that was marked meanwhile may be told in the state of before or after.
        let later = to_count().await?;
        if counted.covers(&later) {
            return Ok(sessions);
        }
        tries += 1;
        counted = if tries < MOST_TRIES { counted.and(later) } else { Counted::all() };
    }
}
