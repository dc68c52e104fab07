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
use store::periods::{Unit, Window};

use super::asked::{Asked, Parameters};
use super::form::{Report, object, ratio};
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

#[derive(Row, Deserialize)]
struct Seen {
    cohort_ms: i64,
    bucket_ms: i64,
    visitors: u64,
}

const COLUMNS: &[&str] = &["cohort", "cohort_ms", "number", "from_ms", "visitors", "share"];

pub(crate) async fn retention(
    State(app): State<Arc<App>>,
    InFinance(workspace): InFinance,
    asked: Asked<RetentionParameters>,
) -> Result<Response, ApiError> {
    let Asked { own: RetentionParameters { unit }, period, form, .. } = asked;
    let period = period.read(&app, &workspace, Window::Days30).await?;
    let period = period.since_the_first_event(&app, &workspace).await?;
    let buckets = period.buckets(unit, &app, &workspace, MAX_COHORTS).await?;
    let period = period.of_whole(&buckets);
    let starts: Vec<i64> = buckets.iter().map(|bucket| bucket.from_ms).collect();
    let sql = app.clickhouse.query(include_str!("../../../clickhouse/queries/retention.sql"));
    let seen: Vec<Seen> = period.param(sql, &workspace).bind(&starts).bind(&starts).fetch_all().await?;
    let seen: HashMap<(i64, i64), u64> =
        seen.into_iter().map(|row| ((row.cohort_ms, row.bucket_ms), row.visitors)).collect();
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
