//! The schema, in the order of its migrations.

use std::borrow::Cow;

use sqlx::SqlStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

use crate::{Pool, StoreError};

/// Version, description and SQL of each migration.
const MIGRATIONS: [(i64, &str, &str); 3] = [
    (1, "control", include_str!("../../migrations/0001_control.sql")),
    (2, "books", include_str!("../../migrations/0002_books.sql")),
    (3, "sink positions", include_str!("../../migrations/0003_sink_positions.sql")),
];

/// The role the application works as; made by the first migration.
pub const APP_ROLE: &str = "tributary_app";

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
    Ok(migrator.run(pool).await?)
}
