//! Clicks and what came of them, by what is known of a click; and pages.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use clickhouse::Row;
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::periods::Window;
use uuid::Uuid;

use super::filter::Filter;
use super::form::{Form, Report, object};
use super::period::{PeriodQuery, invalid};
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
pub(crate) struct BreakdownQuery {
    #[serde(rename = "workspace")]
    _workspace: Option<String>,
    by: Dimension,
    period: Option<String>,
    as_of_ms: Option<i64>,
    from_ms: Option<i64>,
    to_ms: Option<i64>,
    campaign: Option<Uuid>,
    creator: Option<Uuid>,
    link: Option<Uuid>,
    #[serde(default = "default_limit")]
    limit: u32,
    #[serde(default)]
    offset: u32,
    #[serde(default)]
    format: Form,
}

fn default_limit() -> u32 {
    100
}

fn check_page(limit: u32, offset: u32) -> Result<(), ApiError> {
    if !(1..=1_000).contains(&limit) || offset > 1_000_000 {
        return Err(invalid("limit must be 1 to 1000, offset at most 1000000"));
    }
    Ok(())
}

#[derive(Row, Deserialize)]
struct Part {
    key: String,
    total: u64,
    clicks: u64,
    unique_clicks: u64,
    bot_clicks: u64,
    conversions: u64,
    revenue_minor: i64,
    earnings_minor: i64,
}

/// Clicks by one thing, most of them first. What is not known is empty.
pub(crate) async fn breakdown(
    State(app): State<Arc<App>>,
    InFinance(workspace): InFinance,
    query: Result<Query<BreakdownQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(query) = query?;
    check_page(query.limit, query.offset)?;
    let BreakdownQuery { period, as_of_ms, from_ms, to_ms, campaign, creator, link, .. } = query;
    let period = PeriodQuery { period, as_of_ms, from_ms, to_ms };
    let period = period.read(&app, &workspace, Window::Days30).await?;
    let by = serde_json::to_value(query.by).unwrap_or_default();
    let sql = app.clickhouse.query(include_str!("../../../clickhouse/queries/breakdown.sql"));
    let parts: Vec<Part> = Filter { campaign, creator, link }
        .param(sql)
        .param("by", by.as_str().unwrap_or_default())
        .param("workspace", workspace.id.to_string())
        .param("currency", &workspace.currency)
        .param("from_ms", period.from_ms)
        .param("to_ms", period.to_ms)
        .param("limit", query.limit)
        .param("offset", query.offset)
        .fetch_all()
        .await?;
    let asked = json!({
        "by": by,
        "from_ms": period.from_ms,
        "to_ms": period.to_ms,
        "currency": workspace.currency,
        "total": parts.first().map_or(0, |part| part.total),
        "offset": query.offset,
    });
    let rows = parts.into_iter().map(|part| {
        object(json!({
            "key": part.key,
            "clicks": part.clicks,
            "unique_clicks": part.unique_clicks,
            "bot_clicks": part.bot_clicks,
            "conversions": part.conversions,
            "revenue_minor": part.revenue_minor,
            "earnings_minor": part.earnings_minor,
        }))
    });
    let columns =
        &["key", "clicks", "unique_clicks", "bot_clicks", "conversions", "revenue_minor", "earnings_minor"];
    Ok(Report { asked: object(asked), columns, rows: rows.collect() }.answer(query.format))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PagesQuery {
    #[serde(rename = "workspace")]
    _workspace: Option<String>,
    period: Option<String>,
    as_of_ms: Option<i64>,
    from_ms: Option<i64>,
    to_ms: Option<i64>,
    #[serde(default = "default_limit")]
    limit: u32,
    #[serde(default)]
    offset: u32,
    #[serde(default)]
    format: Form,
}

#[derive(Row, Deserialize)]
struct Page {
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
    query: Result<Query<PagesQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(PagesQuery { period, as_of_ms, from_ms, to_ms, limit, offset, format, .. }) = query?;
    check_page(limit, offset)?;
    let period = PeriodQuery { period, as_of_ms, from_ms, to_ms };
    let period = period.read(&app, &workspace, Window::Days30).await?;
    let pages: Vec<Page> = app
        .clickhouse
        .query(include_str!("../../../clickhouse/queries/pages.sql"))
        .param("workspace", workspace.id.to_string())
        .param("from_ms", period.from_ms)
        .param("to_ms", period.to_ms)
        .param("limit", limit)
        .param("offset", offset)
        .fetch_all()
        .await?;
    let asked = json!({
        "from_ms": period.from_ms,
        "to_ms": period.to_ms,
        "total": pages.first().map_or(0, |page| page.total),
        "offset": offset,
    });
    let rows = pages.into_iter().map(|page| {
        object(json!({
            "page": page.page,
            "page_views": page.page_views,
            "visitors": page.visitors,
            "bot_page_views": page.bot_page_views,
        }))
    });
    let columns = &["page", "page_views", "visitors", "bot_page_views"];
    Ok(Report { asked: object(asked), columns, rows: rows.collect() }.answer(format))
}
