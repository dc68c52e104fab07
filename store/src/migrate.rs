//! The schema, in the order of its migrations.

use std::borrow::Cow;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, PgExecutor, SqlStr};
use uuid::Uuid;

use crate::{Pool, StoreError, Transaction, sql};

/// Version, description and SQL of each migration.
const MIGRATIONS: [(i64, &str, &str); 28] = [
    (1, "control", include_str!("../../migrations/0001_control.sql")),
    (2, "books", include_str!("../../migrations/0002_books.sql")),
    (3, "sink positions", include_str!("../../migrations/0003_sink_positions.sql")),
    (4, "links", include_str!("../../migrations/0004_links.sql")),
    (5, "public keys", include_str!("../../migrations/0005_public_keys.sql")),
    (6, "attribution", include_str!("../../migrations/0006_attribution.sql")),
    (7, "wallets", include_str!("../../migrations/0007_wallets.sql")),
    (8, "earning rules", include_str!("../../migrations/0008_earning_rules.sql")),
    (9, "statements", include_str!("../../migrations/0009_statements.sql")),
    (10, "payments", include_str!("../../migrations/0010_payments.sql")),
    (11, "limits", include_str!("../../migrations/0011_limits.sql")),
    (12, "access", include_str!("../../migrations/0012_access.sql")),
    (13, "payouts", include_str!("../../migrations/0013_payouts.sql")),
    (14, "reconciled", include_str!("../../migrations/0014_reconciled.sql")),
    (15, "ledger partitions", include_str!("../../migrations/0015_ledger_partitions.sql")),
    (16, "lighter books", include_str!("../../migrations/0016_lighter_books.sql")),
    (17, "tax thresholds", include_str!("../../migrations/0017_tax_thresholds.sql")),
    (18, "share rewards", include_str!("../../migrations/0018_share_rewards.sql")),
    (19, "exhausted links", include_str!("../../migrations/0019_exhausted_links.sql")),
    (20, "cohorts", include_str!("../../migrations/0020_cohorts.sql")),
    (21, "roll-ups", include_str!("../../migrations/0021_rollups.sql")),
    (22, "visitors' months", include_str!("../../migrations/0022_visitor_months.sql")),
    (23, "social", include_str!("../../migrations/0023_social.sql")),
    (24, "visitors' acts", include_str!("../../migrations/0024_visitor_acts.sql")),
    (25, "names", include_str!("../../migrations/0025_names.sql")),
    (26, "visitors' sessions", include_str!("../../migrations/0026_visitor_sessions.sql")),
    (27, "retention", include_str!("../../migrations/0027_retention.sql")),
    (28, "installation", include_str!("../../migrations/0028_installation.sql")),
];

/// The ledger has partitions for so many months to come.
const MONTHS_AHEAD: i32 = 13;

/// The role the application works as; made by the first migration.
pub const APP_ROLE: &str = "tributary_app";

/// Waits until no other process migrates ClickHouse; until the transaction is dropped
/// no other does.
///
/// # Errors
/// When the database fails.
pub async fn alone(pool: &Pool) -> Result<Transaction, StoreError> {
    let mut transaction = crate::begin(pool).await?;
    sqlx::query("SELECT pg_advisory_xact_lock(7303, 0)").execute(&mut *transaction).await?;
    Ok(transaction)
}

/// Which installation the database is.
///
/// # Errors
/// When Postgres fails.
pub async fn installation(from: impl PgExecutor<'_>) -> Result<Uuid, StoreError> {
    Ok(sqlx::query_scalar(sql!("installation/id")).fetch_one(from).await?)
}

/// Brings the schema up to date. Safe to run again, and from two processes at
/// once: an advisory lock lets one go first. `pool` must be the owner's.
///
/// # Errors
/// When a migration fails, or an applied one is not the one known here.
pub async fn migrate(pool: &Pool) -> Result<(), StoreError> {
    let migrations = MIGRATIONS
        .into_iter()
        .map(|(version, description, sql)| {
            Migration::new(
                version,
                Cow::Borrowed(description),
                MigrationType::Simple,
                SqlStr::from_static(sql),
                false,
            )
        })
        .collect();
    let migrator = Migrator { migrations: Cow::Owned(migrations), ..Migrator::DEFAULT };
    migrator.run(pool).await?;
    match crate::ledger::ensure_partitions(pool, MONTHS_AHEAD).await {
        // Settlement is at work; `tributary process` tries again.
        Err(error) if error.is_lock_timeout() => Ok(()),
        made => made.map(|_count| ()),
    }
}

/// Creates an empty database beside the one `pool` is connected to.
///
/// # Errors
/// When the name is not plain, or the server refuses.
pub async fn create_database(pool: &Pool, name: &str) -> Result<(), StoreError> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.is_empty() || !name.chars().all(plain) {
        let message = format!("{name:?} is no plain name of a database");
        return Err(StoreError::Row { table: "pg_database", message });
    }
    execute(pool, &format!("CREATE DATABASE {name}")).await
}

/// Runs statements that are not part of the program: an operator's, or a
/// test's. Never give it what a caller sent.
///
/// # Errors
/// When one fails.
pub async fn execute(on: impl PgExecutor<'_>, statements: &str) -> Result<(), StoreError> {
    sqlx::raw_sql(AssertSqlSafe(statements)).execute(on).await?;
    Ok(())
}

/// The texts that an operator's or a test's query gives.
///
/// # Errors
/// When it fails.
pub async fn strings(from: impl PgExecutor<'_>, query: &str) -> Result<Vec<String>, StoreError> {
    Ok(sqlx::query_scalar(AssertSqlSafe(query)).fetch_all(from).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_file_is_left_out() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations");
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), MIGRATIONS.len());
    }
}
