//! Where days, weeks and months begin in a time zone.

use serde::{Deserialize, Serialize};
use sqlx::PgExecutor;

use crate::{StoreError, sql};

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// A time up to a moment, begun at a round one of a time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Window {
    /// Since the full hour.
    Hour,
    /// Since midnight.
    Day,
    /// The day and the six before it.
    Days7,
    /// The day and the 29 before it.
    Days30,
    /// Since the month's first day.
    Month,
    /// Ever.
    All,
}

impl Window {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Hour, Self::Day, Self::Days7, Self::Days30, Self::Month, Self::All];

    /// Its name.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Days7 => "7d",
            Self::Days30 => "30d",
            Self::Month => "month",
            Self::All => "all",
        }
    }

    /// The window of that name.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|window| window.code() == code)
    }
}

/// Where the window that ends before `as_of_ms` begins in `time_zone`,
/// milliseconds since 1970.
///
/// # Errors
/// When the database fails, or knows no such zone.
pub async fn start_ms(
    from: impl PgExecutor<'_>,
    window: Window,
    time_zone: &str,
    as_of_ms: i64,
) -> Result<i64, StoreError> {
    let query = sqlx::query_scalar(sql!("workspaces/period_start"));
    Ok(query.bind(window.code()).bind(time_zone).bind(as_of_ms).fetch_one(from).await?)
}

/// What a time is divided into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Hours.
    Hour,
    /// Days of the zone.
    #[default]
    Day,
    /// Weeks, from Monday on.
    Week,
    /// Months.
    Month,
}

impl Unit {
    /// Its name.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }
}

/// Where a unit begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Bucket {
    /// Its first moment, milliseconds since 1970.
    pub from_ms: i64,
    /// How far the zone's clocks are ahead of UTC then.
    pub ahead_minutes: i32,
}

impl Bucket {
    /// The date on which it begins in the zone, in days since 1970.
    #[must_use]
    pub fn day(self) -> u16 {
        let local_ms = self.from_ms + i64::from(self.ahead_minutes) * 60_000;
        u16::try_from(local_ms.div_euclid(DAY_MS)).unwrap_or_default()
    }
}

/// The day of `time_zone` that a moment is in.
///
/// # Errors
/// When the database fails, or knows no such zone.
pub async fn day_at(from: impl PgExecutor<'_>, time_zone: &str, at_ms: i64) -> Result<Bucket, StoreError> {
    let days = buckets(from, Unit::Day, time_zone, (at_ms, at_ms + 1), 1).await?;
    days.first().copied().ok_or(StoreError::from(sqlx::Error::RowNotFound))
}

/// Where the units of `time_zone` begin, from the one that `from_ms` is in to
/// before `to_ms`; at most `limit` of them.
///
/// # Errors
/// When the database fails, or knows no such zone.
pub async fn buckets(
    from: impl PgExecutor<'_>,
    unit: Unit,
    time_zone: &str,
    (from_ms, to_ms): (i64, i64),
    limit: i64,
) -> Result<Vec<Bucket>, StoreError> {
    let query = sqlx::query_as(sql!("workspaces/bucket_starts"));
    Ok(query.bind(unit.code()).bind(time_zone).bind(from_ms).bind(to_ms).bind(limit).fetch_all(from).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_zone() {
        for (from_ms, ahead_minutes, day) in [
            (0, 0, 0),
            (-3_600_000, 60, 0),
            (5 * 3_600_000, -300, 0),
            // A day that begins at one o'clock.
            (DAY_MS + 3_600_000 - 7_200_000, 120, 1),
        ] {
            assert_eq!(Bucket { from_ms, ahead_minutes }.day(), day, "{from_ms} {ahead_minutes}");
        }
    }
}
