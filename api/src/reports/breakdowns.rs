//! Clicks and what came of them, by what is known of a click; and pages.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use clickhouse::Row;
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::periods::Window;

use super::asked::{Asked, Parameters};
use super::form::{Report, object};
use crate::access::InFinance;
use crate::error::ApiError;
use crate::server::App;

/// What clicks are told apart by.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Dimension {
    Country,
    City,
    Device,
    Os,
    Browser,
    Referrer,
    UtmSource,
    UtmMedium,
    UtmCampaign,
    UtmTerm,
    UtmContent,
    Variant,
    Link,
    Campaign,
    Creator,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BreakdownParameters {
    by: Dimension,
}

impl Parameters for BreakdownParameters {
    const NAMES: &'static [&'static str] = &["by"];
    const IS_PAGED: bool = true;
    const IS_FILTERED: bool = true;
}

#[derive(Row, Deserialize)]
struct Part {
    key: String,
    total: u64,
    clicks: u64,
    visitors: u64,
    bot_clicks: u64,
    conversions: u64,
    revenue_minor: i64,
    earnings_minor: i64,
}

/// Clicks by one thing, most of them first. What is not known is empty.
pub(crate) async fn breakdown(
    State(app): State<Arc<App>>,
    InFinance(workspace): InFinance,
    asked: Asked<BreakdownParameters>,
) -> Result<Response, ApiError> {
    let Asked { own: BreakdownParameters { by }, period, filter, page, form } = asked;
    filter.check(&app, &workspace).await?;
    let period = period.read(&app, &workspace, Window::Days30).await?.of_kept_events(&workspace)?;
    let by = serde_json::to_value(by).unwrap_or_default();
    let sql = app.clickhouse.query(include_str!("../../../clickhouse/queries/breakdown.sql"));
    let sql = page.param(filter.param(period.param(sql, &workspace)));
    let parts: Vec<Part> = sql.param("by", by.as_str().unwrap_or_default()).fetch_all().await?;
    let mut asked = period.told(&workspace);
    asked.insert("by".to_owned(), by);
    page.tell(&mut asked, parts.first().map(|part| part.total));
    let rows = parts.into_iter().map(|part| {
        object(json!({
            "key": part.key,
            "clicks": part.clicks,
            "visitors": part.visitors,
            "bot_clicks": part.bot_clicks,
            "conversions": part.conversions,
            "revenue_minor": part.revenue_minor,
            "earnings_minor": part.earnings_minor,
        }))
    });
    let columns =
        &["key", "clicks", "visitors", "bot_clicks", "conversions", "revenue_minor", "earnings_minor"];
    Ok(Report { asked, columns, rows: rows.collect() }.answer(form))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PageParameters {}

impl Parameters for PageParameters {
    const NAMES: &'static [&'static str] = &[];
    const IS_PAGED: bool = true;
    const IS_FILTERED: bool = false;
}

#[derive(Row, Deserialize)]
struct PageRow {
    page: String,
    total: u64,
    page_views: u64,
    visitors: u64,
    bot_page_views: u64,
}

/// Pages, those that people looked at most often first.
pub(crate) async fn pages(
    State(app): State<Arc<App>>,
    InFinance(workspace): InFinance,
    asked: Asked<PageParameters>,
) -> Result<Response, ApiError> {
    let Asked { period, page, form, .. } = asked;
    let period = period.read(&app, &workspace, Window::Days30).await?.of_kept_events(&workspace)?;
    let sql = app.clickhouse.query(include_str!("../../../clickhouse/queries/pages.sql"));
    let pages: Vec<PageRow> = page.param(period.param(sql, &workspace)).fetch_all().await?;
    let mut asked = period.told(&workspace);
    page.tell(&mut asked, pages.first().map(|page| page.total));
    let rows = pages.into_iter().map(|page| {
        object(json!({
            "page": page.page,
            "page_views": page.page_views,
            "visitors": page.visitors,
            "bot_page_views": page.bot_page_views,
        }))
    });
    let columns = &["page", "page_views", "visitors", "bot_page_views"];
    Ok(Report { asked, columns, rows: rows.collect() }.answer(form))
}
