//! Figures by hour, day, week or month of the workspace's time zone.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use clickhouse::Row;
use domain::timestamp::rfc3339_local;
use serde::Deserialize;
use serde_json::json;
use store::periods::{Bucket, Unit, Window};
use store::rollups::HourlyTables;

use super::asked::{Asked, Parameters};
use super::filter::Filter;
use super::form::{Report, object};
use super::period::{Period, counted_param, need_events_since};
use crate::access::{InFinance, Tenant};
use crate::error::ApiError;
use crate::server::App;

/// A series has at most so many points.
const MAX_BUCKETS: u32 = 10_000;

const TIMESERIES: &str = concat!(
    "WITH\n",
    include_str!("../../../clickhouse/queries/counted_clicks.sql"),
    ",\n",
    include_str!("../../../clickhouse/queries/counted_outcomes.sql"),
    ",\n",
    include_str!("../../../clickhouse/queries/timeseries.sql")
);
const VISITORS: &str = include_str!("../../../clickhouse/queries/visitors.sql");
const CLICKERS: &str = include_str!("../../../clickhouse/queries/clickers.sql");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SeriesParameters {
    #[serde(default)]
    unit: Unit,
}

impl Parameters for SeriesParameters {
    const NAMES: &'static [&'static str] = &["unit"];
    const IS_PAGED: bool = false;
    const IS_FILTERED: bool = true;
}

#[derive(Default, Row, Deserialize)]
struct Point {
    bucket_ms: i64,
    clicks: u64,
    unique_clicks: u64,
    bot_clicks: u64,
    conversions: u64,
    revenue_minor: i64,
    earnings_minor: i64,
}

#[derive(Default, Row, Deserialize)]
struct Visits {
    bucket_ms: i64,
    visitors: u64,
    page_views: u64,
}

const COLUMNS: &[&str] = &[
    "from",
    "from_ms",
    "clicks",
    "unique_clicks",
    "bot_clicks",
    "page_views",
    "visitors",
    "conversions",
    "revenue_minor",
    "earnings_minor",
];

pub(crate) async fn timeseries(
    State(app): State<Arc<App>>,
    InFinance(workspace): InFinance,
    asked: Asked<SeriesParameters>,
) -> Result<Response, ApiError> {
    let Asked { own: SeriesParameters { unit }, period, filter, form, .. } = asked;
    filter.check(&app, &workspace).await?;
    let period = period.read(&app, &workspace, Window::Days30).await?;
    let period = period.since_the_first_event(&app, &workspace).await?;
    let buckets = period.buckets(unit, &app, &workspace, MAX_BUCKETS).await?;
    let period = period.of_whole(&buckets);
    let starts: Vec<i64> = buckets.iter().map(|bucket| bucket.from_ms).collect();
    let (points, visits) = tokio::try_join!(
        points(&app, &workspace, period, filter, &starts),
        visits(&app, &workspace, period, filter, &buckets)
    )?;
    let mut points: HashMap<i64, Point> = points.into_iter().map(|point| (point.bucket_ms, point)).collect();
    let mut visits: HashMap<i64, Visits> =
        visits.into_iter().map(|visits| (visits.bucket_ms, visits)).collect();
    // Whoever clicked on some links only is told from the events.
    let visitors_since_ms = if filter == Filter::default() { 0 } else { workspace.expired_before_ms };
    let rows = buckets.into_iter().map(|Bucket { from_ms, ahead_minutes }| {
        let point = points.remove(&from_ms).unwrap_or_default();
        let visits = visits.remove(&from_ms).unwrap_or_default();
        object(json!({
            "from": rfc3339_local(from_ms, ahead_minutes),
            "from_ms": from_ms,
            "clicks": point.clicks,
            "unique_clicks": point.unique_clicks,
            "bot_clicks": point.bot_clicks,
            // Pages are no campaign's.
            "page_views": (filter == Filter::default()).then_some(visits.page_views),
            "visitors": (from_ms >= visitors_since_ms).then_some(visits.visitors),
            "conversions": point.conversions,
            "revenue_minor": point.revenue_minor,
            "earnings_minor": point.earnings_minor,
        }))
    });
    let mut asked = period.told(&workspace);
    asked.insert("unit".to_owned(), json!(unit));
    Ok(Report { asked, columns: COLUMNS, rows: rows.collect() }.answer(form))
}

/// Clicks and what they came to, in the buckets that begin at `starts`.
async fn points(
    app: &App,
    workspace: &Tenant,
    period: Period,
    filter: Filter,
    starts: &[i64],
) -> Result<Vec<Point>, ApiError> {
    let mut counted = period.to_count(app, workspace, starts).await?;
    // The smallest that tell apart what is asked for.
    let tables = match filter {
        Filter { campaign: None, creator: None, link: None } => HourlyTables::BY_WORKSPACE,
        Filter { campaign: None, creator: Some(_), link: None } => HourlyTables::BY_CREATOR,
        _ => HourlyTables::BY_LINK,
    };
    loop {
        let query = filter
            .param(period.param(app.clickhouse.query(TIMESERIES), workspace))
            .param("hourly_clicks", tables.clicks)
            .param("hourly_outcomes", tables.outcomes);
        let query = counted_param(query, &counted).with_setting("max_query_size", super::MAX_QUERY_BYTES);
        let points = query.bind(starts).fetch_all().await?;
        match period.more_to_count(app, workspace, starts, &counted).await? {
            None => return Ok(points),
            Some(later) => counted = later,
        }
    }
}

/// Who was there in these buckets; of a filter, who clicked.
async fn visits(
    app: &App,
    workspace: &Tenant,
    period: Period,
    filter: Filter,
    buckets: &[Bucket],
) -> Result<Vec<Visits>, ApiError> {
    let starts: Vec<i64> = buckets.iter().map(|bucket| bucket.from_ms).collect();
    let query = |text| {
        let query = filter.param(period.param(app.clickhouse.query(text), workspace));
        query.with_setting("max_query_size", super::MAX_QUERY_BYTES).bind(&starts)
    };
    if filter != Filter::default() {
        return Ok(query(CLICKERS).fetch_all().await?);
    }
    let span = (period.from_ms, period.to_ms);
    let mut counted_from_ms = store::rollups::visits_to_count(&app.pool, workspace.id, span, &starts).await?;
    loop {
        if counted_from_ms < period.to_ms {
            need_events_since(workspace, counted_from_ms)?;
        }
        let part = RolledPart::of(app, workspace, period, buckets, counted_from_ms).await?;
        let query = query(VISITORS)
            // Visitors are everywhere: looking for places without them takes longer than reading.
            .with_setting("use_index_for_in_with_subqueries", "0")
            .param("counted_from_ms", counted_from_ms)
            .param("part_day", part.day)
            .param("part_days", part.days)
            .param("part_from_ms", part.from_ms);
        let visits = query.fetch_all().await?;
        let later_ms = store::rollups::visits_to_count(&app.pool, workspace.id, span, &starts).await?;
        // What was loaded meanwhile is in no hour that was taken as rolled up.
        if later_ms >= counted_from_ms {
            return Ok(visits);
        }
        counted_from_ms = later_ms;
    }
}

/// What is rolled up of the bucket in which counting begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct RolledPart {
    /// Its first day, since 1970.
    day: u16,
    /// Its whole days; none, if it begins within one.
    days: u16,
    /// From when on it has no whole days.
    from_ms: i64,
}

impl RolledPart {
    async fn of(
        app: &App,
        workspace: &Tenant,
        period: Period,
        buckets: &[Bucket],
        counted_from_ms: i64,
    ) -> Result<Self, ApiError> {
        let after = buckets.partition_point(|bucket| bucket.from_ms <= counted_from_ms);
        let bucket = buckets[after.saturating_sub(1)];
        let today = store::periods::day_at(&app.pool, &workspace.time_zone, counted_from_ms).await?;
        Ok(Self::up_to(bucket, period.from_ms, today))
    }

    /// From the beginning of `bucket`, or from `from_ms` on within it, to the day in which
    /// counting begins. What is longer than a day begins with one.
    fn up_to(bucket: Bucket, from_ms: i64, today: Bucket) -> Self {
        let day = bucket.day();
        if bucket.from_ms >= from_ms && today.day() > day {
            Self { day, days: today.day() - day, from_ms: today.from_ms }
        } else {
            Self { day, days: 0, from_ms: bucket.from_ms.max(from_ms) }
        }
    }
}
