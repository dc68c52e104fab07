//! Hashtags by what their campaigns come to, the latest of it most.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use clickhouse::Row;
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::periods::Window;
use store::rollups::hour_of;
use uuid::Uuid;

use super::asked::{Asked, Page, Parameters};
use super::form::{Report, object};
use super::period::{Period, counted_param, invalid};
use crate::access::{InFinance, Tenant};
use crate::error::ApiError;
use crate::server::App;

const CAMPAIGN_SCORES: &str = concat!(
    "WITH\n",
    include_str!("../../../clickhouse/queries/counted_clicks.sql"),
    ",\n",
    include_str!("../../../clickhouse/queries/counted_outcomes.sql"),
    "\n",
    include_str!("../../../clickhouse/queries/campaign_scores.sql")
);
/// A year.
const MAX_HALF_LIFE_HOURS: f64 = 8_760.0;

/// What counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Metric {
    #[default]
    Clicks,
    UniqueClicks,
    Conversions,
    Revenue,
}

impl Metric {
    /// The name, as in ClickHouse.
    fn code(self) -> &'static str {
        match self {
            Self::Clicks => "clicks",
            Self::UniqueClicks => "unique_clicks",
            Self::Conversions => "conversions",
            Self::Revenue => "revenue",
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrendingParameters {
    #[serde(default)]
    metric: Metric,
    half_life_hours: Option<f64>,
}

impl Parameters for TrendingParameters {
    const NAMES: &'static [&'static str] = &["metric", "half_life_hours"];
    const IS_PAGED: bool = true;
    const IS_FILTERED: bool = false;
}

/// What a campaign came to.
#[derive(Clone, Debug, Row, Deserialize)]
struct Scored {
    #[serde(with = "clickhouse::serde::uuid")]
    campaign_id: Uuid,
    clicks: u64,
    unique_clicks: u64,
    conversions: u64,
    revenue_minor: i64,
    score: f64,
}

/// What a hashtag's campaigns came to.
#[derive(Clone, Debug, Default, PartialEq)]
struct Trend {
    hashtag: String,
    /// All that have it, whatever they came to.
    campaigns: u64,
    clicks: u64,
    unique_clicks: u64,
    conversions: u64,
    revenue_minor: i64,
    score: f64,
}

const COLUMNS: &[&str] =
    &["rank", "hashtag", "score", "campaigns", "clicks", "unique_clicks", "conversions", "revenue_minor"];

pub(crate) async fn trending(
    State(app): State<Arc<App>>,
    InFinance(workspace): InFinance,
    asked: Asked<TrendingParameters>,
) -> Result<Response, ApiError> {
    let Asked { own: TrendingParameters { metric, half_life_hours }, period, page, form, .. } = asked;
    let half_life_hours = half_life_hours.unwrap_or(24.0);
    if !(1.0..=MAX_HALF_LIFE_HOURS).contains(&half_life_hours) {
        return Err(invalid(format!("half_life_hours is 1 to {MAX_HALF_LIFE_HOURS}")));
    }
    let period = period.read(&app, &workspace, Window::Days7).await?;
    let scored = scored(&app, &workspace, metric, half_life_hours, period).await?;
    let hashtags = store::campaigns::hashtags(&app.pool, workspace.id).await?;
    let trends = trends(&hashtags, &scored);
    let mut asked = period.told(&workspace);
    asked.insert("metric".to_owned(), json!(metric));
    asked.insert("half_life_hours".to_owned(), json!(half_life_hours));
    page.tell(&mut asked, Some(trends.len() as u64));
    let rows = ranked(&trends, page).map(|(rank, trend)| {
        object(json!({
            "rank": rank,
            "hashtag": trend.hashtag,
            "score": trend.score,
            "campaigns": trend.campaigns,
            "clicks": trend.clicks,
            "unique_clicks": trend.unique_clicks,
            "conversions": trend.conversions,
            "revenue_minor": trend.revenue_minor,
        }))
    });
    Ok(Report { asked, columns: COLUMNS, rows: rows.collect() }.answer(form))
}

async fn scored(
    app: &App,
    workspace: &Tenant,
    metric: Metric,
    half_life_hours: f64,
    period: Period,
) -> Result<Vec<Scored>, ApiError> {
    let mut counted = period.to_count(app, workspace, &[]).await?;
    loop {
        let query = period.param(app.clickhouse.query(CAMPAIGN_SCORES), workspace);
        let scored = counted_param(query, &counted)
            .with_setting("max_query_size", super::MAX_QUERY_BYTES)
            .param("metric", metric.code())
            .param("half_life_hours", half_life_hours)
            .param("last_hour_ms", hour_of(period.to_ms - 1))
            .fetch_all()
            .await?;
        match period.more_to_count(app, workspace, &[], &counted).await? {
            None => return Ok(scored),
            Some(later) => counted = later,
        }
    }
}

/// The hashtags of `(hashtag, campaign)`, the highest score first, equal ones by name.
/// A campaign counts for each hashtag that it has.
fn trends(hashtags: &[(String, Uuid)], scored: &[Scored]) -> Vec<Trend> {
    let scored: HashMap<Uuid, &Scored> = scored.iter().map(|scored| (scored.campaign_id, scored)).collect();
    let mut trends: BTreeMap<&str, Trend> = BTreeMap::new();
    for (hashtag, campaign) in hashtags {
        let trend = trends.entry(hashtag).or_default();
        trend.campaigns += 1;
        if let Some(scored) = scored.get(campaign) {
            trend.clicks += scored.clicks;
            trend.unique_clicks += scored.unique_clicks;
            trend.conversions += scored.conversions;
            trend.revenue_minor += scored.revenue_minor;
            trend.score += scored.score;
        }
    }
    let named = |(hashtag, trend): (&str, Trend)| Trend { hashtag: hashtag.to_owned(), ..trend };
    let mut trends: Vec<Trend> = trends.into_iter().map(named).collect();
    trends.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.hashtag.cmp(&b.hashtag)));
    trends
}

/// A page of them; equal scores share a rank, and the next rank counts them all.
fn ranked(trends: &[Trend], page: Page) -> impl Iterator<Item = (usize, &Trend)> {
    let rank = |trend: &Trend| 1 + trends.partition_point(|other| other.score > trend.score);
    let (offset, limit) = (page.offset as usize, page.limit as usize);
    trends.iter().skip(offset).take(limit).map(move |trend| (rank(trend), trend))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashtags_are_the_sums_of_their_campaigns() {
        let id = Uuid::from_u128;
        let scored = |campaign, clicks, score| Scored {
            campaign_id: id(campaign),
            clicks,
            unique_clicks: clicks,
            conversions: 1,
            revenue_minor: 10,
            score,
        };
        let hashtags = [("spring", 1), ("shoes", 1), ("shoes", 2), ("new", 4), ("autumn", 3), ("art", 5)]
            .map(|(hashtag, campaign)| (hashtag.to_owned(), id(campaign)));
        let trends =
            trends(&hashtags, &[scored(1, 3, 2.5), scored(2, 2, 0.5), scored(3, 9, 2.5), scored(9, 9, 9.0)]);
        let page = |limit, offset| {
            ranked(&trends, Page { limit, offset })
                .map(|(rank, trend)| {
                    (rank, trend.hashtag.as_str(), trend.campaigns, trend.clicks, trend.score)
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(
            page(10, 0),
            [
                (1, "shoes", 2, 5, 3.0),
                (2, "autumn", 1, 9, 2.5),
                (2, "spring", 1, 3, 2.5),
                (4, "art", 1, 0, 0.0),
                (4, "new", 1, 0, 0.0),
            ]
        );
        assert_eq!(page(1, 2), [(2, "spring", 1, 3, 2.5)]);
        assert_eq!(page(1, 9), []);
    }
}
