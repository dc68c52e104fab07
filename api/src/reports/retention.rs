//! Retention: of those who were first seen in a day, week or month, how many came
//! again in each one after it.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use clickhouse::Row;
use domain::timestamp::rfc3339_local;
use serde::Deserialize;
use serde_json::json;
use store::control::WorkspaceRow;
use store::periods::{Bucket, Unit, Window};
use store::rollups::{Source, marks};

use super::asked::{Asked, Parameters};
use super::form::{Report, object, ratio};
use super::period::Period;
use crate::access::InFinance;
use crate::error::ApiError;
use crate::server::App;

/// A table has at most so many cohorts: its rows are as many squared, by half.
const MAX_COHORTS: u32 = 120;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RetentionParameters {
    #[serde(default)]
    unit: Unit,
}

impl Parameters for RetentionParameters {
    const NAMES: &'static [&'static str] = &["unit"];
    const IS_PAGED: bool = false;
    const IS_FILTERED: bool = false;
}

/// How many of a cohort were seen in a bucket; each by the moment or the day it begins with.
#[derive(Row, Deserialize)]
struct Seen {
    cohort: i64,
    bucket: i64,
    visitors: u64,
}

/// By the beginnings of cohort and bucket.
type Table = HashMap<(i64, i64), u64>;

const COLUMNS: &[&str] = &["cohort", "cohort_ms", "number", "from_ms", "visitors", "share"];

pub(crate) async fn retention(
    State(app): State<Arc<App>>,
    InFinance(workspace): InFinance,
    asked: Asked<RetentionParameters>,
) -> Result<Response, ApiError> {
    let Asked { own: RetentionParameters { unit }, period, form, .. } = asked;
    let period = period.read(&app, &workspace, Window::Days30).await?.of_kept_events(&workspace)?;
    let period = period.since_the_first_event(&app, &workspace).await?;
    let buckets = period.buckets(unit, &app, &workspace, MAX_COHORTS).await?;
    let period = period.of_whole(&buckets).of_kept_events(&workspace)?;
    let starts: Vec<i64> = buckets.iter().map(|bucket| bucket.from_ms).collect();
    // Of what begins within a day, days cannot tell.
    let seen = match unit {
        Unit::Day | Unit::Week | Unit::Month if period.from_ms == starts[0] => {
            by_day(&app, &workspace, period, unit, &buckets).await?
        }
        _ => None,
    };
    let seen = match seen {
        Some(seen) => seen,
        None => by_moment(&app, &workspace, period, &starts).await?,
    };
    let visitors = |cohort: i64, bucket: i64| seen.get(&(cohort, bucket)).copied().unwrap_or_default();
    let mut rows = Vec::new();
    for (first, cohort) in buckets.iter().enumerate() {
        let cohort_ms = cohort.from_ms;
        let all = visitors(cohort_ms, cohort_ms);
        for (number, from_ms) in starts[first..].iter().enumerate() {
            let again = visitors(cohort_ms, *from_ms);
            rows.push(object(json!({
                "cohort": rfc3339_local(cohort_ms, cohort.ahead_minutes),
                "cohort_ms": cohort_ms,
                "number": number,
                "from_ms": from_ms,
                "visitors": again,
                "share": ratio(again as f64, all),
            })));
        }
    }
    let mut asked = period.told(&workspace);
    asked.insert("unit".to_owned(), json!(unit));
    Ok(Report { asked, columns: COLUMNS, rows }.answer(form))
}

/// Out of the events.
async fn by_moment(
    app: &App,
    workspace: &WorkspaceRow,
    period: Period,
    starts: &[i64],
) -> Result<Table, ApiError> {
    let sql = app.clickhouse.query(include_str!("../../../clickhouse/queries/retention.sql"));
    let seen: Vec<Seen> = period.param(sql, workspace).bind(starts).bind(starts).fetch_all().await?;
    Ok(seen.into_iter().map(|row| ((row.cohort, row.bucket), row.visitors)).collect())
}

/// Out of the days on which visitors were seen; `None` if they are not rolled up yet, or
/// change too fast.
async fn by_day(
    app: &App,
    workspace: &WorkspaceRow,
    period: Period,
    unit: Unit,
    buckets: &[Bucket],
) -> Result<Option<Table>, ApiError> {
    let first_days: Vec<u16> = buckets.iter().map(|bucket| bucket.day()).collect();
    let starts: HashMap<i64, i64> = first_days
        .iter()
        .map(|day| i64::from(*day))
        .zip(buckets.iter().map(|bucket| bucket.from_ms))
        .collect();
    let last = store::periods::day_at(&app.pool, &workspace.time_zone, period.to_ms - 1).await?;
    let marked = async || marks(&app.pool, workspace.id, Source::Events, (0, period.to_ms), 0).await;
    let Some(mut counted) = marked().await? else { return Ok(None) };
    // What is being loaded all the while is better read at one go.
    for _ in 0..3 {
        let hours_s: Vec<i64> = counted.iter().map(|hour_ms| hour_ms / 1_000).collect();
        let sql = app.clickhouse.query(include_str!("../../../clickhouse/queries/retention_by_day.sql"));
        let query = sql
            .with_setting("max_query_size", super::MAX_QUERY_BYTES)
            .bind(&first_days)
            .bind(&hours_s)
            .param("by_day", unit == Unit::Day)
            .param("workspace", workspace.id.to_string())
            .param("time_zone", &workspace.time_zone)
            .param("to_ms", period.to_ms)
            .param("last_day", last.day())
            .param("last_day_ms", last.from_ms);
        let seen: Vec<Seen> = query.fetch_all().await?;
        let Some(later) = marked().await? else { return Ok(None) };
        if later.iter().all(|hour| counted.binary_search(hour).is_ok()) {
            let row =
                |row: Seen| Some(((*starts.get(&row.cohort)?, *starts.get(&row.bucket)?), row.visitors));
            return Ok(Some(seen.into_iter().filter_map(row).collect()));
        }
        // Something was loaded meanwhile, and is in a part of these figures.
        counted = later;
    }
    Ok(None)
}
