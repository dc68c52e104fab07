//! Creators by a metric: over any time, in all, of a campaign, of campaigns with a
//! hashtag, or among a cohort.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use clickhouse::Row;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use store::periods::Window;
use store::rollups::HourlyTables;
use uuid::Uuid;

use super::asked::{Asked, Page, Parameters};
use super::filter::Filter;
use super::form::{Report, object};
use super::period::{Period, counted_param, invalid};
use crate::access::{InFinance, Tenant};
use crate::error::ApiError;
use crate::server::App;

/// A board, with what is said of engagements.
macro_rules! leaderboard {
    ($($engagements:literal),+) => {
        concat!(
            "WITH\n",
            include_str!("../../../clickhouse/queries/counted_clicks.sql"),
            ",\n",
            include_str!("../../../clickhouse/queries/counted_outcomes.sql"),
            ",\n",
            include_str!("../../../clickhouse/queries/scope.sql"),
            $(",\n", include_str!(concat!("../../../clickhouse/queries/", $engagements, ".sql")),)+
            ",\n",
            include_str!("../../../clickhouse/queries/creator_figures.sql"),
            include_str!("../../../clickhouse/queries/leaderboard.sql")
        )
    };
}
const LEADERBOARD: &str = leaderboard!("no_engagements");
const ENGAGEMENT_BOARD: &str = leaderboard!("social_readings", "social_gains", "engagements");
const PREVIOUS_RANKS: &str = include_str!("../../../clickhouse/queries/previous_ranks.sql");

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Metric {
    Clicks,
    UniqueClicks,
    Conversions,
    ConversionRate,
    Revenue,
    Earnings,
    EarningsPerClick,
    Engagement,
}

impl Metric {
    /// The name, as in ClickHouse.
    fn code(self) -> &'static str {
        match self {
            Self::Clicks => "clicks",
            Self::UniqueClicks => "unique_clicks",
            Self::Conversions => "conversions",
            Self::ConversionRate => "conversion_rate",
            Self::Revenue => "revenue",
            Self::Earnings => "earnings",
            Self::EarningsPerClick => "earnings_per_click",
            Self::Engagement => "engagement",
        }
    }

    /// A figure of this metric: counts and minor units are whole.
    fn figure(self, value: f64) -> Value {
        match self {
            Self::ConversionRate | Self::EarningsPerClick => json!(value),
            _ => json!(value as i64),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BoardParameters {
    metric: Metric,
    campaign: Option<Uuid>,
    hashtag: Option<String>,
    cohort: Option<String>,
}

impl Parameters for BoardParameters {
    const NAMES: &'static [&'static str] = &["metric", "campaign", "hashtag", "cohort"];
    const IS_PAGED: bool = true;
    // It is, in its own way.
    const IS_FILTERED: bool = false;
}

/// Which campaigns and creators count; all, where there is no list.
#[derive(Debug, Default, PartialEq, Eq)]
struct Scope {
    campaigns: Option<Vec<Uuid>>,
    creators: Option<Vec<Uuid>>,
    /// Under which snapshots are kept; not all are.
    kept_as: Option<String>,
}

impl BoardParameters {
    async fn scope(&self, app: &App, workspace: &Tenant) -> Result<Scope, ApiError> {
        match (self.campaign, &self.hashtag, &self.cohort) {
            (None, None, None) => Ok(Scope { kept_as: Some("all".to_owned()), ..Scope::default() }),
            (Some(campaign), None, None) => {
                Filter { campaign: Some(campaign), ..Filter::default() }.check(app, workspace).await?;
                Ok(Scope { campaigns: Some(vec![campaign]), ..Scope::default() })
            }
            (None, Some(hashtag), None) => {
                let campaigns = store::campaigns::with_hashtag(&app.pool, workspace.id, hashtag).await?;
                Ok(Scope { campaigns: Some(campaigns), ..Scope::default() })
            }
            (None, None, Some(cohort)) => {
                let found = store::cohorts::list(&app.pool, workspace.id, Some(cohort)).await?;
                let cohort = found.into_iter().next().ok_or_else(|| ApiError::not_found("cohort"))?;
                let kept_as = Some(format!("cohort:{}", cohort.id));
                Ok(Scope { creators: Some(cohort.creators), kept_as, ..Scope::default() })
            }
            _ => {
                let message = "ask for a campaign, a hashtag or a cohort, not for several";
                Err(ApiError::new(StatusCode::BAD_REQUEST, "invalid_query", message))
            }
        }
    }
}

#[derive(Row, Deserialize)]
struct Ranked {
    rank: u64,
    total: u64,
    value: f64,
    #[serde(with = "clickhouse::serde::uuid")]
    creator_id: Uuid,
    clicks: u64,
    unique_clicks: u64,
    repeated_clicks: u64,
    bot_clicks: u64,
    conversions: u64,
    conversion_rate: Option<f64>,
    revenue_minor: i64,
    earnings_minor: i64,
    earnings_per_click_minor: Option<f64>,
}

#[derive(Row, Deserialize)]
struct Previous {
    #[serde(with = "clickhouse::serde::uuid")]
    creator_id: Uuid,
    rank: u32,
    captured_ms: i64,
}

const COLUMNS: &[&str] = &[
    "rank",
    "previous_rank",
    "creator_id",
    "display_name",
    "value",
    "clicks",
    "unique_clicks",
    "repeated_clicks",
    "bot_clicks",
    "conversions",
    "conversion_rate",
    "revenue_minor",
    "earnings_minor",
    "earnings_per_click_minor",
];

pub(crate) async fn leaderboard(
    State(app): State<Arc<App>>,
    InFinance(workspace): InFinance,
    asked: Asked<BoardParameters>,
) -> Result<Response, ApiError> {
    let Asked { own, period, page, form, .. } = asked;
    if own.metric == Metric::Engagement && (own.campaign.is_some() || own.hashtag.is_some()) {
        return Err(invalid("engagement is no campaign's, nor a hashtag's; ask for all, or for a cohort"));
    }
    let period = period.read(&app, &workspace, Window::All).await?;
    let scope = own.scope(&app, &workspace).await?;
    let rows = ranked(&app, &workspace, own.metric, period, &scope, page).await?;
    let creators: Vec<Uuid> = rows.iter().map(|row| row.creator_id).collect();
    let previous = previous_ranks(&app, &workspace, own.metric, period, &scope, &creators).await?;
    let names = store::control::display_names(&app.pool, workspace.id, &creators).await?;
    let mut asked = period.told(&workspace);
    asked.insert("metric".to_owned(), json!(own.metric.code()));
    let captured_ms = previous.values().next().map(|previous| previous.captured_ms);
    asked.insert("compared_with_ms".to_owned(), json!(captured_ms));
    page.tell(&mut asked, rows.first().map(|row| row.total));
    let rows = rows.into_iter().map(|row| {
        let before = previous.get(&row.creator_id).map(|previous| previous.rank);
        shown(own.metric, &row, names.get(&row.creator_id), before)
    });
    let report = Report { asked, columns: COLUMNS, rows: rows.collect() };
    Ok(report.answer(form))
}

fn shown(
    metric: Metric,
    row: &Ranked,
    name: Option<&String>,
    previous_rank: Option<u32>,
) -> Map<String, Value> {
    object(json!({
        "rank": row.rank,
        "previous_rank": previous_rank,
        "creator_id": row.creator_id,
        "display_name": name,
        "value": metric.figure(row.value),
        "clicks": row.clicks,
        "unique_clicks": row.unique_clicks,
        "repeated_clicks": row.repeated_clicks,
        "bot_clicks": row.bot_clicks,
        "conversions": row.conversions,
        "conversion_rate": row.conversion_rate,
        "revenue_minor": row.revenue_minor,
        "earnings_minor": row.earnings_minor,
        "earnings_per_click_minor": row.earnings_per_click_minor,
    }))
}

fn texts(ids: &[Uuid]) -> Vec<String> {
    ids.iter().map(Uuid::to_string).collect()
}

async fn ranked(
    app: &App,
    workspace: &Tenant,
    metric: Metric,
    period: Period,
    scope: &Scope,
    page: Page,
) -> Result<Vec<Ranked>, ApiError> {
    let mut counted = period.to_count(app, workspace, &[]).await?;
    let tables = match scope.campaigns {
        Some(_) => HourlyTables::BY_LINK,
        None => HourlyTables::BY_CREATOR,
    };
    let board = if metric == Metric::Engagement { ENGAGEMENT_BOARD } else { LEADERBOARD };
    loop {
        let query = page.param(period.param(app.clickhouse.query(board), workspace));
        let rows = counted_param(query, &counted)
            .with_setting("max_query_size", super::MAX_QUERY_BYTES)
            .bind(texts(scope.campaigns.as_deref().unwrap_or_default()))
            .bind(texts(scope.creators.as_deref().unwrap_or_default()))
            .param("all_campaigns", scope.campaigns.is_none())
            .param("hourly_clicks", tables.clicks)
            .param("hourly_outcomes", tables.outcomes)
            .param("all_creators", scope.creators.is_none())
            .param("metric", metric.code())
            .fetch_all()
            .await?;
        match period.more_to_count(app, workspace, &[], &counted).await? {
            None => return Ok(rows),
            Some(later) => counted = later,
        }
    }
}

/// Clicks and unique clicks of creators' links, as on a board of them.
pub(super) async fn clicks(
    app: &App,
    workspace: &Tenant,
    period: Period,
    creators: Vec<Uuid>,
) -> Result<HashMap<Uuid, (u64, u64)>, ApiError> {
    if creators.is_empty() {
        return Ok(HashMap::new());
    }
    let page = Page { limit: u32::try_from(creators.len()).unwrap_or(u32::MAX), offset: 0 };
    let scope = Scope { creators: Some(creators), ..Scope::default() };
    let rows = ranked(app, workspace, Metric::Clicks, period, &scope, page).await?;
    Ok(rows.into_iter().map(|row| (row.creator_id, (row.clicks, row.unique_clicks))).collect())
}

/// Where creators stood in the last snapshot of this very board.
async fn previous_ranks(
    app: &App,
    workspace: &Tenant,
    metric: Metric,
    period: Period,
    scope: &Scope,
    creators: &[Uuid],
) -> Result<HashMap<Uuid, Previous>, ApiError> {
    let (Some(kept_as), Some(window)) = (&scope.kept_as, period.window) else { return Ok(HashMap::new()) };
    let rows: Vec<Previous> = app
        .clickhouse
        .query(PREVIOUS_RANKS)
        .with_setting("max_query_size", super::MAX_QUERY_BYTES)
        .bind(texts(creators))
        .param("workspace", workspace.id.to_string())
        .param("scope", kept_as)
        .param("metric", metric.code())
        .param("period", window.code())
        .param("before_ms", period.to_ms)
        .fetch_all()
        .await?;
    Ok(rows.into_iter().map(|previous| (previous.creator_id, previous)).collect())
}
