//! What creators have on social platforms: gained within a time, and over time.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use clickhouse::Row;
use clickhouse::query::Query;
use domain::social::Figures;
use domain::timestamp::rfc3339_local;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use store::periods::{Bucket, Unit, Window};
use uuid::Uuid;

use super::asked::{Asked, Parameters};
use super::filter::Filter;
use super::form::{Report, object};
use super::leaderboards;
use super::period::{Period, invalid};
use crate::access::{InFinance, Tenant};
use crate::error::ApiError;
use crate::server::App;

const SOCIAL: &str = concat!(
    "WITH\n",
    include_str!("../../../clickhouse/queries/removed_accounts.sql"),
    ",\n",
    include_str!("../../../clickhouse/queries/social_readings.sql"),
    ",\n",
    include_str!("../../../clickhouse/queries/social_gains.sql"),
    include_str!("../../../clickhouse/queries/social.sql")
);
const GROWTH: &str = concat!(
    "WITH\n",
    include_str!("../../../clickhouse/queries/removed_accounts.sql"),
    ",\n",
    include_str!("../../../clickhouse/queries/social_readings.sql"),
    ",\n",
    include_str!("../../../clickhouse/queries/social_growth.sql")
);
const FIRST_READING: &str = include_str!("../../../clickhouse/queries/first_reading.sql");
/// A series has at most so many points.
const MAX_BUCKETS: u32 = 2_000;

/// What rows are about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum By {
    Post,
    #[default]
    Account,
    Creator,
    Platform,
}

impl By {
    fn code(self) -> &'static str {
        match self {
            Self::Post => "post",
            Self::Account => "account",
            Self::Creator => "creator",
            Self::Platform => "platform",
        }
    }
}

/// What engagement is a part of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Denominator {
    #[default]
    Impressions,
    Reach,
    Views,
    Followers,
}

impl Denominator {
    fn code(self) -> &'static str {
        match self {
            Self::Impressions => "impressions",
            Self::Reach => "reach",
            Self::Views => "views",
            Self::Followers => "followers",
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SocialParameters {
    #[serde(default)]
    by: By,
    #[serde(default)]
    rate_of: Denominator,
    creator: Option<Uuid>,
}

impl Parameters for SocialParameters {
    const NAMES: &'static [&'static str] = &["by", "rate_of", "creator"];
    const IS_PAGED: bool = true;
    const IS_FILTERED: bool = false;
}

#[derive(Row, Deserialize)]
struct Gained {
    account: String,
    creator: String,
    platform: String,
    post: String,
    total: u64,
    had: Vec<(String, i64)>,
    gained: Vec<(String, i64)>,
    engagement: Option<i64>,
    /// Of those whose denominator is known.
    rated: Option<i64>,
    denominator: Option<i64>,
}

const COLUMNS: &[&str] = &[
    "creator_id",
    "display_name",
    "platform",
    "account_id",
    "post_id",
    "engagement",
    "engagement_rate",
    "link_clicks",
    "link_unique_clicks",
    "followers",
    "followers_gained",
    "following",
    "following_gained",
    "posts",
    "posts_gained",
    "views",
    "views_gained",
    "impressions",
    "impressions_gained",
    "reach",
    "reach_gained",
    "likes",
    "likes_gained",
    "comments",
    "comments_gained",
    "shares",
    "shares_gained",
    "clicks",
    "clicks_gained",
    "saves",
    "saves_gained",
];

pub(crate) async fn social(
    State(app): State<Arc<App>>,
    InFinance(workspace): InFinance,
    asked: Asked<SocialParameters>,
) -> Result<Response, ApiError> {
    let Asked { own: SocialParameters { by, rate_of, creator }, period, page, form, .. } = asked;
    Filter { creator, ..Filter::default() }.check(&app, &workspace).await?;
    let period = period.read(&app, &workspace, Window::Days30).await?;
    let removed = removed(&app, &workspace).await?;
    let gained: Vec<Gained> = page
        .param(period.param(app.clickhouse.query(SOCIAL), &workspace))
        .with_setting("max_query_size", super::MAX_QUERY_BYTES)
        .bind(&removed.0)
        .bind(&removed.1)
        .param("by", by.code())
        .param("of", rate_of.code())
        .param("all_creators", creator.is_none())
        .param("creator", creator.unwrap_or_default().to_string())
        .fetch_all()
        .await?;
    let mut creators: Vec<Uuid> = gained.iter().filter_map(|row| row.creator.parse().ok()).collect();
    creators.sort_unstable();
    creators.dedup();
    let names = store::control::display_names(&app.pool, workspace.id, &creators).await?;
    // Links are creators', not accounts'.
    let clicks = match by {
        By::Creator => leaderboards::clicks(&app, &workspace, period, creators).await?,
        _ => HashMap::new(),
    };
    let mut asked = period.told(&workspace);
    asked.insert("by".to_owned(), json!(by));
    asked.insert("engagement_rate_of".to_owned(), json!(rate_of));
    page.tell(&mut asked, gained.first().map(|row| row.total));
    let rows = gained.into_iter().map(|row| {
        let id: Option<Uuid> = row.creator.parse().ok();
        let clicks = id.and_then(|id| clicks.get(&id).copied());
        shown(&row, id.and_then(|id| names.get(&id)), (by == By::Creator).then(|| clicks.unwrap_or_default()))
    });
    Ok(Report { asked, columns: COLUMNS, rows: rows.collect() }.answer(form))
}

/// Accounts that were removed, and when.
async fn removed(app: &App, workspace: &Tenant) -> Result<(Vec<String>, Vec<i64>), ApiError> {
    let removed = store::social::removed(&app.pool, workspace.id).await?;
    Ok(removed.into_iter().map(|(id, at_ms)| (id.to_string(), at_ms)).unzip())
}

fn shown(row: &Gained, name: Option<&String>, clicks: Option<(u64, u64)>) -> Map<String, Value> {
    let given = |text: &str| if text.is_empty() { Value::Null } else { json!(text) };
    let rate = match (row.rated, row.denominator) {
        (Some(rated), Some(of)) if of > 0 => json!(rated as f64 / of as f64),
        _ => Value::Null,
    };
    let mut shown = object(json!({
        "creator_id": given(&row.creator),
        "display_name": name,
        "platform": given(&row.platform),
        "account_id": given(&row.account),
        "post_id": given(&row.post),
        "engagement": row.engagement,
        "engagement_rate": rate,
        "link_clicks": clicks.map(|(clicks, _)| clicks),
        "link_unique_clicks": clicks.map(|(_, unique)| unique),
    }));
    let of = |pairs: &[(String, i64)], name: &str| {
        pairs.iter().find(|(metric, _)| metric == name).map(|(_, value)| *value)
    };
    for name in Figures::NAMES {
        shown.insert(name.to_owned(), json!(of(&row.had, name)));
        shown.insert(format!("{name}_gained"), json!(of(&row.gained, name)));
    }
    shown
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GrowthParameters {
    #[serde(default)]
    unit: Unit,
    account: Option<Uuid>,
    creator: Option<Uuid>,
    #[serde(default)]
    post: String,
}

impl Parameters for GrowthParameters {
    const NAMES: &'static [&'static str] = &["unit", "account", "creator", "post"];
    const IS_PAGED: bool = false;
    const IS_FILTERED: bool = false;
}

#[derive(Row, Deserialize)]
struct Had {
    moment_ms: i64,
    metric: String,
    had: i64,
}

const GROWTH_COLUMNS: &[&str] = &[
    "from",
    "from_ms",
    "followers",
    "following",
    "posts",
    "views",
    "impressions",
    "reach",
    "likes",
    "comments",
    "shares",
    "clicks",
    "saves",
];

pub(crate) async fn growth(
    State(app): State<Arc<App>>,
    InFinance(workspace): InFinance,
    asked: Asked<GrowthParameters>,
) -> Result<Response, ApiError> {
    let Asked { own: GrowthParameters { unit, account, creator, post }, period, form, .. } = asked;
    let of = Whose::read(&app, &workspace, account, creator, &post).await?;
    let period = period.read(&app, &workspace, Window::Days30).await?;
    let period = since_the_first_reading(&app, &workspace, &of, period).await?;
    let buckets = period.buckets(unit, &app, &workspace, MAX_BUCKETS).await?;
    let ends = ends(&buckets, period.to_ms);
    let removed = removed(&app, &workspace).await?;
    let query = period
        .param(app.clickhouse.query(GROWTH), &workspace)
        .with_setting("max_query_size", super::MAX_QUERY_BYTES)
        .bind(&removed.0)
        .bind(&removed.1)
        .bind(&ends)
        .param("post", post.as_str());
    let had: Vec<Had> = of.param(query).fetch_all().await?;
    let mut at: BTreeMap<i64, HashMap<String, i64>> = BTreeMap::new();
    for Had { moment_ms, metric, had } in had {
        at.entry(moment_ms).or_default().insert(metric, had);
    }
    let rows = buckets.iter().zip(&ends).map(|(Bucket { from_ms, ahead_minutes }, end_ms)| {
        let had = at.get(end_ms);
        let mut row = object(json!({ "from": rfc3339_local(*from_ms, *ahead_minutes), "from_ms": from_ms }));
        for name in Figures::NAMES {
            row.insert(name.to_owned(), json!(had.and_then(|had| had.get(name))));
        }
        row
    });
    let rows = rows.collect();
    let mut asked = period.told(&workspace);
    asked.insert("unit".to_owned(), json!(unit));
    Ok(Report { asked, columns: GROWTH_COLUMNS, rows }.answer(form))
}

/// Whose growth is asked for.
struct Whose {
    account: Option<Uuid>,
    creator: Option<Uuid>,
}

impl Whose {
    async fn read(
        app: &App,
        workspace: &Tenant,
        account: Option<Uuid>,
        creator: Option<Uuid>,
        post: &str,
    ) -> Result<Self, ApiError> {
        if account.is_some() == creator.is_some() {
            return Err(invalid("ask for an account or for a creator"));
        }
        if account.is_none() && !post.is_empty() {
            return Err(invalid("a post is an account's: ask for the account"));
        }
        if let Some(account) = account
            && !store::social::is_known(&app.pool, workspace.id, account).await?
        {
            return Err(ApiError::not_found("social account"));
        }
        Filter { creator, ..Filter::default() }.check(app, workspace).await?;
        Ok(Self { account, creator })
    }

    /// Says it in a query.
    fn param(&self, query: Query) -> Query {
        query
            .param("all_accounts", self.account.is_none())
            .param("account", self.account.unwrap_or_default().to_string())
            .param("all_creators", self.creator.is_none())
            .param("creator", self.creator.unwrap_or_default().to_string())
    }
}

/// What is asked for ever begins with the first reading.
async fn since_the_first_reading(
    app: &App,
    workspace: &Tenant,
    of: &Whose,
    period: Period,
) -> Result<Period, ApiError> {
    if period.from_ms > 0 {
        return Ok(period);
    }
    let query = app.clickhouse.query(FIRST_READING).param("workspace", workspace.id.to_string());
    let first_ms: i64 = of.param(query).fetch_one().await?;
    let from_ms = if first_ms > 0 { first_ms } else { period.to_ms - 1 };
    Ok(Period { from_ms: from_ms.min(period.to_ms - 1), ..period })
}

/// Where buckets end: where the next one begins, the last one with the time asked for.
fn ends(buckets: &[Bucket], to_ms: i64) -> Vec<i64> {
    let next = buckets.iter().skip(1).map(|bucket| bucket.from_ms);
    next.chain([to_ms]).take(buckets.len()).collect()
}
