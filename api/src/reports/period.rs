//! Which time a report is about: a window that ends now, in the workspace's time
//! zone, or whatever is asked for.

use clickhouse::query::Query;
use domain::timestamp::rfc3339;
use runtime::clock::now_ms;
use serde_json::{Map, Value, json};
use store::control::WorkspaceRow;
use store::periods::{Bucket, Unit, Window, buckets};
use store::rollups::{CLICKS_REACH_HOURS, HOUR_MS, Source, ToCount, marks};

use super::form::object;
use crate::error::ApiError;
use crate::server::App;

/// What a request says of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PeriodQuery {
    /// A window's name.
    pub(crate) period: Option<String>,
    /// Where the window ends, if not now.
    pub(crate) as_of_ms: Option<i64>,
    /// From this moment on, instead of a window.
    pub(crate) from_ms: Option<i64>,
    /// To before this moment.
    pub(crate) to_ms: Option<i64>,
}

/// From a moment to before another, milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Period {
    /// The window, if it is one.
    pub(crate) window: Option<Window>,
    /// The first moment.
    pub(crate) from_ms: i64,
    /// The first moment after it.
    pub(crate) to_ms: i64,
}

/// No event can be later: in the year 2100.
const MAX_MS: i64 = 4_102_444_800_000;

/// Says in a query which hours are counted: first of all that is bound.
pub(super) fn counted_param(query: Query, counted: &ToCount) -> Query {
    query
        .bind(&counted.clicks.asked_s)
        .bind(&counted.clicks.near_s)
        .bind(&counted.outcomes.asked_s)
        .param("all_hours", counted.clicks.all)
        .param("all_outcome_hours", counted.outcomes.all)
}

/// A query that cannot be answered.
pub(super) fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new(axum::http::StatusCode::BAD_REQUEST, "invalid_query", message)
}

impl PeriodQuery {
    /// What was asked for; `otherwise`, if nothing was.
    pub(crate) async fn read(
        &self,
        app: &App,
        workspace: &WorkspaceRow,
        otherwise: Window,
    ) -> Result<Period, ApiError> {
        for (name, moment) in [("as_of_ms", self.as_of_ms), ("from_ms", self.from_ms), ("to_ms", self.to_ms)]
        {
            if moment.is_some_and(|moment| !(0..=MAX_MS).contains(&moment)) {
                return Err(invalid(format!(
                    "{name} is in milliseconds since 1970, and before the year 2100"
                )));
            }
        }
        if self.from_ms.is_some() || self.to_ms.is_some() {
            if self.period.is_some() || self.as_of_ms.is_some() {
                return Err(invalid(
                    "ask for a period, as of a moment, or from one moment to another; not for both",
                ));
            }
            let (from_ms, to_ms) = (self.from_ms.unwrap_or(0), self.to_ms.unwrap_or_else(now_ms));
            if from_ms >= to_ms {
                return Err(invalid(format!("from_ms ({from_ms}) must be before to_ms ({to_ms})")));
            }
            return Ok(Period { window: None, from_ms, to_ms });
        }
        let window = match self.period.as_deref() {
            None => otherwise,
            Some(code) => Window::from_code(code).ok_or_else(|| {
                let known: Vec<&str> = Window::ALL.into_iter().map(Window::code).collect();
                invalid(format!("period {code:?} is none of {}", known.join(", ")))
            })?,
        };
        let to_ms = self.as_of_ms.unwrap_or_else(now_ms);
        let from_ms = store::periods::start_ms(&app.pool, window, &workspace.time_zone, to_ms).await?;
        // A midnight that comes twice may lie after a moment between the two.
        Ok(Period { window: Some(window), from_ms: from_ms.min(to_ms - 1), to_ms })
    }
}

/// What was asked for is told from single events, and these are gone.
fn expired(workspace: &WorkspaceRow, what: &str) -> ApiError {
    let since = rfc3339(workspace.expired_before_ms);
    let message = format!("single events of before {since} have expired (retention); {what}");
    ApiError::new(axum::http::StatusCode::BAD_REQUEST, "events_expired", message)
}

/// Refuses what takes single events from `since_ms` on.
pub(super) fn need_events_since(workspace: &WorkspaceRow, since_ms: i64) -> Result<(), ApiError> {
    if workspace.expired_before_ms > 0 && since_ms < workspace.expired_before_ms {
        return Err(expired(workspace, "up to a day after that only whole hours (UTC) can be told"));
    }
    Ok(())
}

impl Period {
    /// The same, as far as single events are kept.
    pub(super) fn of_kept_events(self, workspace: &WorkspaceRow) -> Result<Self, ApiError> {
        if workspace.expired_before_ms > 0 && self.to_ms <= workspace.expired_before_ms {
            return Err(expired(workspace, "ask for a later time: leaderboards and series are kept"));
        }
        Ok(Self { from_ms: self.from_ms.max(workspace.expired_before_ms), ..self })
    }

    /// Says it in a query, and which workspace's events it is about.
    pub(super) fn param(self, query: Query, workspace: &WorkspaceRow) -> Query {
        query
            .param("workspace", workspace.id.to_string())
            .param("currency", &workspace.currency)
            .param("from_ms", self.from_ms)
            .param("to_ms", self.to_ms)
    }

    /// The hours of it that are counted from what happened, not from roll-ups, if its
    /// figures begin anew at `cuts`.
    pub(super) async fn to_count(
        self,
        app: &App,
        workspace: &WorkspaceRow,
        cuts: &[i64],
    ) -> Result<ToCount, ApiError> {
        let span = (self.from_ms, self.to_ms);
        let counted = store::rollups::to_count(&app.pool, workspace.id, span, cuts).await?;
        // What is marked is kept; a moment within an hour may divide one that is not.
        if let Some(hour_s) = counted.clicks.asked_s.first() {
            need_events_since(workspace, hour_s * 1_000 - CLICKS_REACH_HOURS * HOUR_MS)?;
        }
        Ok(counted)
    }

    /// What has to be counted by now, if something was loaded into other hours than
    /// `counted` since: whatever was told of these has to be told anew.
    pub(super) async fn more_to_count(
        self,
        app: &App,
        workspace: &WorkspaceRow,
        cuts: &[i64],
        counted: &ToCount,
    ) -> Result<Option<ToCount>, ApiError> {
        let span = (self.from_ms, self.to_ms);
        Ok(store::rollups::more_to_count(&app.pool, workspace.id, span, cuts, counted).await?)
    }

    /// Says it in an answer.
    pub(super) fn told(self, workspace: &WorkspaceRow) -> Map<String, Value> {
        object(json!({
            "period": self.window.map(Window::code),
            "from_ms": self.from_ms,
            "to_ms": self.to_ms,
            "time_zone": workspace.time_zone,
            "currency": workspace.currency,
        }))
    }

    /// The units of the workspace's zone within it, at most `limit` of them; at
    /// least one.
    pub(super) async fn buckets(
        self,
        unit: Unit,
        app: &App,
        workspace: &WorkspaceRow,
        limit: u32,
    ) -> Result<Vec<Bucket>, ApiError> {
        let too_many =
            || invalid(format!("more than {limit} of them; ask for a shorter time, or a longer unit"));
        let shortest_ms = match unit {
            Unit::Hour => 3_600_000,
            Unit::Day => 23 * 3_600_000,
            Unit::Week => 7 * 23 * 3_600_000,
            Unit::Month => 28 * 23 * 3_600_000,
        };
        if (self.to_ms - self.from_ms) / shortest_ms > 2 * i64::from(limit) {
            return Err(too_many());
        }
        let (range_ms, at_most) = ((self.from_ms, self.to_ms), i64::from(limit) + 1);
        let found = buckets(&app.pool, unit, &workspace.time_zone, range_ms, at_most).await?;
        if found.len() as i64 == at_most { Err(too_many()) } else { Ok(found) }
    }

    /// The same; a window begins with the first of these, which it began within.
    pub(super) fn of_whole(self, buckets: &[Bucket]) -> Self {
        match (self.window, buckets.first()) {
            (Some(_), Some(first)) => Self { from_ms: first.from_ms, ..self },
            _ => self,
        }
    }

    /// The same; what is asked for ever begins with the first event.
    pub(super) async fn since_the_first_event(
        self,
        app: &App,
        workspace: &WorkspaceRow,
    ) -> Result<Self, ApiError> {
        if self.from_ms > 0 {
            return Ok(self);
        }
        let (from_ms, to_ms) = match self.first_hour(app, workspace).await? {
            Some(hour_ms) if hour_ms < workspace.expired_before_ms => {
                return Ok(Self { from_ms: hour_ms.min(self.to_ms - 1), ..self });
            }
            Some(hour_ms) => {
                // Where the zone's hours are full ones, too, a window's first unit is known.
                let hour = (hour_ms, hour_ms + HOUR_MS);
                let hours = buckets(&app.pool, Unit::Hour, &workspace.time_zone, hour, 2).await?;
                if self.window.is_some() && hours.len() == 1 {
                    return Ok(Self { from_ms: hour_ms.min(self.to_ms - 1), ..self });
                }
                (hour_ms, self.to_ms.min(hour_ms + HOUR_MS))
            }
            None => (0, self.to_ms),
        };
        let query = app.clickhouse.query(include_str!("../../../clickhouse/queries/first_event.sql"));
        let query = query.param("workspace", workspace.id.to_string());
        let first_ms: i64 = query.param("from_ms", from_ms).param("to_ms", to_ms).fetch_one().await?;
        Ok(Self { from_ms: first_ms.min(self.to_ms - 1), ..self })
    }

    /// The first hour in which anything happened; `None` if only the events tell.
    async fn first_hour(self, app: &App, workspace: &WorkspaceRow) -> Result<Option<i64>, ApiError> {
        let mut hours_ms = Vec::new();
        for source in [Source::Events, Source::Outcomes] {
            match marks(&app.pool, workspace.id, source, (0, self.to_ms), 0).await? {
                // What came since is in a marked hour.
                Some(marks) => hours_ms.extend(marks.first().copied()),
                // Where events have expired, these tell no more than roll-ups do.
                None if workspace.expired_before_ms > 0 => {}
                None => return Ok(None),
            }
        }
        let query = app.clickhouse.query(include_str!("../../../clickhouse/queries/first_hour.sql"));
        let (hour_ms, hours): (i64, u64) =
            query.param("workspace", workspace.id.to_string()).fetch_one().await?;
        hours_ms.extend((hours > 0).then_some(hour_ms));
        Ok(Some(hours_ms.into_iter().min().unwrap_or(self.to_ms)))
    }
}
