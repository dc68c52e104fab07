//! How long workspaces keep single events, and up to when these are gone.

use uuid::Uuid;

use crate::rollups::{HOUR_MS, MADE_FOR, VISITS_REACH_HOURS};
use crate::{Connection, Pool, StoreError, sql};

const DAY_MS: i64 = 24 * HOUR_MS;
/// No workspace keeps its events for less: visitors are known again for as long as
/// [`VISITS_REACH_HOURS`], and what comes up to a month late is to be counted right.
pub const LEAST_DAYS: i32 = 65;
/// Nor for more than a hundred years.
pub const MOST_DAYS: i32 = 36_500;

/// A workspace whose events expire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Expiring {
    /// The tenant.
    pub workspace_id: Uuid,
    /// How long it keeps its events; for ever, if none.
    pub retention_days: Option<i32>,
    /// What was before has been named as gone; milliseconds since 1970.
    pub before_ms: i64,
    /// What was before is deleted.
    pub deleted_before_ms: i64,
    /// For how long `before_ms` has stood.
    pub named_for_ms: i64,
    /// The first hour that has to be rolled up once more.
    pub first_mark_ms: Option<i64>,
}

impl Expiring {
    /// Up to when its events are to be gone as of `now_ms`: the beginning of a day (UTC).
    #[must_use]
    pub fn due_ms_at(&self, now_ms: i64) -> i64 {
        let Some(days) = self.retention_days else { return self.before_ms };
        day_of(now_ms - i64::from(days) * DAY_MS).max(self.before_ms)
    }

    /// The same, but for what hours still have to be counted with.
    #[must_use]
    pub fn before_ms_at(&self, now_ms: i64) -> i64 {
        let needed_ms = self.first_mark_ms.map_or(i64::MAX, |mark_ms| mark_ms - VISITS_REACH_HOURS * HOUR_MS);
        self.due_ms_at(now_ms).min(day_of(needed_ms)).max(self.before_ms)
    }

    /// Whether all that was named is deleted.
    #[must_use]
    pub fn is_deleted(&self) -> bool {
        self.deleted_before_ms >= self.before_ms
    }
}

fn day_of(moment_ms: i64) -> i64 {
    moment_ms - moment_ms.rem_euclid(DAY_MS)
}

/// Workspaces whose events expire.
///
/// # Errors
/// When the database fails.
pub async fn due(pool: &Pool) -> Result<Vec<Expiring>, StoreError> {
    Ok(sqlx::query_as(sql!("expired_events/due")).bind(MADE_FOR).fetch_all(pool).await?)
}

/// Names what was before `before_ms` as gone.
///
/// # Errors
/// When the database fails.
pub async fn name(pool: &Pool, workspace: Uuid, before_ms: i64) -> Result<(), StoreError> {
    sqlx::query(sql!("expired_events/name")).bind(workspace).bind(before_ms).execute(pool).await?;
    Ok(())
}

/// Says that what was before `before_ms` is deleted.
///
/// # Errors
/// When the database fails.
pub async fn deleted(pool: &Pool, workspace: Uuid, before_ms: i64) -> Result<(), StoreError> {
    sqlx::query(sql!("expired_events/deleted")).bind(workspace).bind(before_ms).execute(pool).await?;
    Ok(())
}

/// Replaces how long a workspace keeps its events, in days; for ever, if none. What was named
/// as gone less than 23 hours ago, and is kept by this, is there again: it is deleted after a day.
///
/// # Errors
/// When the database fails.
pub async fn set(connection: &mut Connection, workspace: Uuid, days: Option<i32>) -> Result<(), StoreError> {
    sqlx::query(sql!("workspaces/set_retention"))
        .bind(workspace)
        .bind(days)
        .execute(&mut *connection)
        .await?;
    sqlx::query(sql!("expired_events/take_back")).bind(workspace).bind(days).execute(connection).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_still_needed_stays() {
        let day = DAY_MS;
        for (days, before, mark, now, expected) in [
            // By whole days.
            (Some(40), 0, None, 100 * day, 60 * day),
            (Some(40), 0, None, 100 * day + day - 1, 60 * day),
            (Some(40), 0, None, 101 * day, 61 * day),
            // It never goes back, though more is kept from now on, or all.
            (Some(400), 60 * day, None, 100 * day, 60 * day),
            (None, 60 * day, None, 100 * day, 60 * day),
            // An hour that has to be counted again needs the 32 days before it.
            (Some(40), 0, Some(99 * day), 100 * day, 60 * day),
            (Some(40), 50 * day, Some(91 * day + HOUR_MS), 100 * day, 59 * day),
            (Some(40), 50 * day, Some(61 * day), 100 * day, 50 * day),
        ] {
            let expiring = Expiring {
                workspace_id: Uuid::nil(),
                retention_days: days,
                before_ms: before,
                deleted_before_ms: before,
                named_for_ms: 0,
                first_mark_ms: mark,
            };
            assert_eq!(expiring.before_ms_at(now), expected, "{days:?} {before} {mark:?} {now}");
        }
    }
}
