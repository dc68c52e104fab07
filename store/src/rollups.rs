//! Which hours of ClickHouse's roll-ups can be relied on, and which have to be counted
//! from the events themselves.

use std::collections::BTreeSet;

use uuid::Uuid;

use crate::{Pool, StoreError, Transaction, sql};

/// An hour, in milliseconds.
pub const HOUR_MS: i64 = 3_600_000;
/// A click repeats another at most so many hours before.
pub const CLICKS_REACH_HOURS: i64 = 24;
/// Parts of sessions are kept with pauses up to this between their events.
pub const SESSION_PART_GAP_MS: i64 = 30 * 60_000;
/// What roll-ups are made into: the number of the last of ClickHouse's migrations that added
/// tables to them.
pub const MADE_FOR: i32 = 17;
/// Visitors are known again so long: the longest month, and a day.
pub const VISITS_REACH_HOURS: i64 = 32 * 24;

/// What is rolled up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Clicks and visits.
    Events,
    /// Conversions and money.
    Outcomes,
}

impl Source {
    /// Its name, which is its sink's.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Outcomes => "outcomes",
        }
    }
}

/// ClickHouse's tables of hours that are rolled up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HourlyTables {
    /// Of clicks.
    pub clicks: &'static str,
    /// Of conversions and money.
    pub outcomes: &'static str,
}

impl HourlyTables {
    /// By creator, campaign and link.
    pub const BY_LINK: Self = Self { clicks: "hourly_clicks", outcomes: "hourly_outcomes" };
    /// By creator alone, and a fraction of the rows.
    pub const BY_CREATOR: Self =
        Self { clicks: "hourly_creator_clicks", outcomes: "hourly_creator_outcomes" };

    /// Of all creators: a row for each hour.
    pub const BY_WORKSPACE: Self =
        Self { clicks: "hourly_workspace_clicks", outcomes: "hourly_workspace_outcomes" };
}

/// The hours in which some rows happened: workspace, and when the hour began in
/// milliseconds since 1970.
pub type Hours = BTreeSet<(Uuid, i64)>;

/// When the hour of a moment began.
#[must_use]
pub fn hour_of(at_ms: i64) -> i64 {
    at_ms - at_ms.rem_euclid(HOUR_MS)
}

/// A marked hour that may be rolled up.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Due {
    /// The tenant.
    pub workspace_id: Uuid,
    /// What has to be rolled up.
    pub source: String,
    /// When the hour began, milliseconds since 1970.
    pub hour_ms: i64,
    /// Changes whenever something is loaded.
    pub mark: i64,
}

/// The hours of a time that are counted from what happened, not from roll-ups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// All of them, since nothing is rolled up yet.
    pub all: bool,
    /// When these hours began, in seconds since 1970; ascending.
    pub asked_s: Vec<i64>,
    /// Those and whichever tell what repeats something in them.
    pub near_s: Vec<i64>,
}

impl Counted {
    /// Those hours that are among `marks`, or that a click in one of `marks` may have
    /// made a repeat in, or in which one of `cuts` lies: a time that begins or ends
    /// within an hour.
    #[must_use]
    pub fn of(marks: Option<&[i64]>, cuts: &[i64], (from_ms, to_ms): (i64, i64), reach_hours: i64) -> Self {
        let Some(marks) = marks else { return Self::all() };
        let within = hour_of(from_ms)..to_ms;
        let cut = cuts.iter().filter(|cut| **cut != hour_of(**cut)).map(|cut| hour_of(*cut));
        let cut = cut.filter(|hour| within.contains(hour)).map(|hour_ms| hour_ms / 1_000);
        let asked: BTreeSet<i64> = cut.chain(reached(marks, (from_ms, to_ms), reach_hours)).collect();
        Self::exactly(asked.into_iter().collect(), reach_hours)
    }

    /// All hours, whatever is rolled up.
    #[must_use]
    pub fn all() -> Self {
        Self { all: true, ..Self::default() }
    }

    /// These hours and `others`, none of which may be told from those before.
    #[must_use]
    pub fn and(self, others: Self) -> Self {
        if self.all || others.all {
            return Self::all();
        }
        let asked_s: BTreeSet<i64> = self.asked_s.into_iter().chain(others.asked_s).collect();
        Self::exactly(asked_s.into_iter().collect(), 0)
    }

    /// These hours, in seconds since 1970, and no others.
    #[must_use]
    pub fn exactly(asked_s: Vec<i64>, reach_hours: i64) -> Self {
        let before = |hour_s: &i64| {
            let hour_s = *hour_s;
            (0..=reach_hours).map(move |hours| hour_s - hours * HOUR_MS / 1_000)
        };
        let near_s: BTreeSet<i64> = asked_s.iter().flat_map(before).collect();
        Self { all: false, near_s: near_s.into_iter().collect(), asked_s }
    }
}

/// The hours within a time that are among `marks` (ascending), or come at most
/// `reach_hours` after one of them; in seconds since 1970, ascending.
#[must_use]
pub fn reached(marks: &[i64], (from_ms, to_ms): (i64, i64), reach_hours: i64) -> Vec<i64> {
    let mut hours = Vec::new();
    let mut next = hour_of(from_ms);
    for mark in marks {
        let until = (mark + reach_hours * HOUR_MS + 1).min(to_ms);
        next = next.max(*mark);
        while next < until {
            hours.push(next / 1_000);
            next += HOUR_MS;
        }
    }
    hours
}

/// What a report over a time has to count itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToCount {
    /// Of clicks.
    pub clicks: Counted,
    /// Of outcomes.
    pub outcomes: Counted,
}

/// From when on visitors have to be counted in a time whose buckets begin at `starts`,
/// which is all of it unless these are full hours.
///
/// # Errors
/// When the database fails.
pub async fn visits_to_count(
    pool: &Pool,
    workspace: Uuid,
    (from_ms, to_ms): (i64, i64),
    starts_ms: &[i64],
) -> Result<i64, StoreError> {
    if starts_ms.iter().chain([&from_ms]).any(|start| *start != hour_of(*start)) {
        return Ok(from_ms);
    }
    let since_ms = from_ms - VISITS_REACH_HOURS * HOUR_MS;
    let marks = marks(pool, workspace, Source::Events, (since_ms, to_ms), 0).await?;
    let Some(marks) = marks else { return Ok(from_ms) };
    let first_ms = marks.first().copied().unwrap_or(i64::MAX);
    Ok(first_ms.min(hour_of(to_ms)).max(from_ms))
}

impl ToCount {
    /// Whether this is all that has to be counted by now, as `later` says.
    fn covers(&self, later: &Self) -> bool {
        self.clicks.covers(&later.clicks) && self.outcomes.covers(&later.outcomes)
    }
}

impl Counted {
    /// Whether these are all that have to be counted by now, as `later` says.
    #[must_use]
    pub fn covers(&self, later: &Self) -> bool {
        self.all || !later.all && later.asked_s.iter().all(|hour| self.asked_s.binary_search(hour).is_ok())
    }
}

/// What has to be counted of a workspace from one moment to another, where `cuts` are
/// moments at which a figure begins anew.
///
/// # Errors
/// When the database fails.
pub async fn to_count(
    pool: &Pool,
    workspace: Uuid,
    (from_ms, to_ms): (i64, i64),
    cuts: &[i64],
) -> Result<ToCount, StoreError> {
    let cuts: Vec<i64> = cuts.iter().copied().chain([from_ms, to_ms]).collect();
    let since_ms = from_ms - (CLICKS_REACH_HOURS + 1) * HOUR_MS;
    let clicks = marks(pool, workspace, Source::Events, (since_ms, to_ms), CLICKS_REACH_HOURS).await?;
    let outcomes = marks(pool, workspace, Source::Outcomes, (hour_of(from_ms), to_ms), 0).await?;
    Ok(ToCount {
        clicks: Counted::of(clicks.as_deref(), &cuts, (from_ms, to_ms), CLICKS_REACH_HOURS),
        outcomes: Counted::of(outcomes.as_deref(), &cuts, (from_ms, to_ms), 0),
    })
}

/// The hours between two moments in which sessions are told from the events.
///
/// # Errors
/// When the database fails.
pub async fn sessions_to_count(
    pool: &Pool,
    workspace: Uuid,
    (from_ms, to_ms): (i64, i64),
) -> Result<Counted, StoreError> {
    let marks = marks(pool, workspace, Source::Events, (hour_of(from_ms), to_ms), 0).await?;
    Ok(Counted::of(marks.as_deref(), &[from_ms, to_ms], (from_ms, to_ms), 0))
}

/// What has to be counted by now, if it is more than `counted`: then something was
/// loaded in between, and what was told is neither the state of before nor that of
/// after.
///
/// # Errors
/// When the database fails.
pub async fn more_to_count(
    pool: &Pool,
    workspace: Uuid,
    span: (i64, i64),
    cuts: &[i64],
    counted: &ToCount,
) -> Result<Option<ToCount>, StoreError> {
    let later = to_count(pool, workspace, span, cuts).await?;
    Ok((!counted.covers(&later)).then_some(later))
}

/// Marked hours of a workspace within a time that can still be counted with what happened in
/// the `needed_hours` before them; `None` if nothing of it is rolled up.
///
/// # Errors
/// When the database fails.
pub async fn marks(
    pool: &Pool,
    workspace: Uuid,
    source: Source,
    (from_ms, to_ms): (i64, i64),
    needed_hours: i64,
) -> Result<Option<Vec<i64>>, StoreError> {
    let query = sqlx::query_scalar(sql!("rollup_marks/of_workspace"));
    let query = query.bind(workspace).bind(source.code()).bind(from_ms).bind(to_ms);
    Ok(query.bind(needed_hours * HOUR_MS).bind(MADE_FOR).fetch_one(pool).await?)
}

/// Marks hours from which something is about to be taken out; they are rolled up
/// later than that.
///
/// # Errors
/// When the database fails.
pub async fn hold(pool: &Pool, hours: &Hours) -> Result<(), StoreError> {
    let (workspaces, hours_ms): (Vec<Uuid>, Vec<i64>) = hours.iter().copied().unzip();
    sqlx::query(sql!("rollup_marks/hold")).bind(workspaces).bind(hours_ms).execute(pool).await?;
    Ok(())
}

/// Waits until no other process adds to the tables `visitor_*`, or takes somebody out of them;
/// until the transaction is dropped no other does. Or else one that is to be forgotten could be
/// put back by who has read the events before.
///
/// # Errors
/// When the database fails.
pub async fn alone_with_visitors(pool: &Pool) -> Result<Transaction, StoreError> {
    let mut transaction = crate::begin(pool).await?;
    // It idles while ClickHouse works.
    sqlx::query("SET LOCAL idle_in_transaction_session_timeout = 0").execute(&mut *transaction).await?;
    sqlx::query("SELECT pg_advisory_xact_lock(7304, 0)").execute(&mut *transaction).await?;
    Ok(transaction)
}

/// At most `limit` hours that may be rolled up by now, a workspace after the other.
///
/// # Errors
/// When the database fails.
pub async fn due(pool: &Pool, limit: i64) -> Result<Vec<Due>, StoreError> {
    Ok(sqlx::query_as(sql!("rollup_marks/due")).bind(limit).fetch_all(pool).await?)
}

/// Takes marks away that nobody renewed since they were read.
///
/// # Errors
/// When the database fails.
pub async fn clear(pool: &Pool, done: &[Due]) -> Result<(), StoreError> {
    let workspaces: Vec<Uuid> = done.iter().map(|due| due.workspace_id).collect();
    let sources: Vec<&str> = done.iter().map(|due| due.source.as_str()).collect();
    let hours: Vec<i64> = done.iter().map(|due| due.hour_ms).collect();
    let marks: Vec<i64> = done.iter().map(|due| due.mark).collect();
    let query = sqlx::query(sql!("rollup_marks/clear"));
    query.bind(workspaces).bind(sources).bind(hours).bind(marks).execute(pool).await?;
    Ok(())
}

/// Workspaces nothing of which is rolled up yet, or not into all tables, and what.
///
/// # Errors
/// When the database fails.
pub async fn not_begun(pool: &Pool) -> Result<Vec<(Uuid, String)>, StoreError> {
    Ok(sqlx::query_as(sql!("rollups/not_begun")).bind(MADE_FOR).fetch_all(pool).await?)
}

/// From now on a workspace's hours are rolled up; `hours_ms` are those with something
/// in them already.
///
/// # Errors
/// When the database fails.
pub async fn begin(pool: &Pool, workspace: Uuid, source: &str, hours_ms: &[i64]) -> Result<(), StoreError> {
    let query = sqlx::query(sql!("rollups/begin"));
    query.bind(workspace).bind(source).bind(hours_ms).bind(MADE_FOR).execute(pool).await?;
    Ok(())
}

/// A version above all that were given out before.
///
/// # Errors
/// When the database fails.
pub async fn next_version(pool: &Pool) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar(sql!("rollups/next_version")).fetch_one(pool).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_marked_or_cut_is_counted() {
        let hours = |asked: &[i64]| asked.iter().map(|hour| hour * 3_600).collect::<Vec<i64>>();
        let h = HOUR_MS;
        for (marks, cuts, span, reach, asked, near) in [
            // Nothing is marked, and all begins with full hours.
            (vec![], vec![2 * h, 9 * h], (2 * h, 9 * h), 2, vec![], vec![]),
            // The first hour is cut, and the last.
            (vec![], vec![2 * h + 1, 9 * h - 1], (2 * h + 1, 9 * h - 1), 0, vec![2, 8], vec![2, 8]),
            // What an hour may have changed after it, and what tells.
            (vec![4 * h], vec![], (2 * h, 9 * h), 2, vec![4, 5, 6], vec![2, 3, 4, 5, 6]),
            // From before the time on, and not beyond its end.
            (vec![h, 8 * h], vec![], (2 * h, 9 * h), 1, vec![2, 8], vec![1, 2, 7, 8]),
            (vec![h, 9 * h], vec![], (2 * h, 9 * h), 0, vec![], vec![]),
            // A bucket that begins within an hour.
            (vec![], vec![5 * h + h / 2], (2 * h, 9 * h), 0, vec![5], vec![5]),
        ] {
            let counted = Counted::of(Some(&marks), &cuts, span, reach);
            let expected = Counted { all: false, asked_s: hours(&asked), near_s: hours(&near) };
            assert_eq!(counted, expected, "{marks:?} {cuts:?} {span:?} {reach}");
        }
        assert!(Counted::of(None, &[], (0, h), 0).all);
        let some = |hours: &[i64]| Counted::exactly(hours.to_vec(), 0);
        assert_eq!(some(&[1, 7]).and(some(&[3, 7])), some(&[1, 3, 7]));
        assert_eq!(some(&[1]).and(Counted::all()), Counted::all());
        assert_eq!((hour_of(h - 1), hour_of(h), hour_of(-1)), (0, h, -h));
    }
}
