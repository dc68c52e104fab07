//! The tables in ClickHouse, in the order of their migrations.

use clickhouse::{Client, Row};
use serde::{Deserialize, Serialize};

use store::Pool;

use crate::SinkError;

/// Version, name and statements of each migration. Every statement must be
/// harmless to repeat: ClickHouse has no transactions over DDL. One after a line
/// `-- if: QUERY` is left out where the query gives 0.
const MIGRATIONS: [(u32, &str, &str); 17] = [
    (1, "events", include_str!("../../clickhouse/0001_events.sql")),
    (2, "outcomes", include_str!("../../clickhouse/0002_outcomes.sql")),
    (3, "devices", include_str!("../../clickhouse/0003_devices.sql")),
    (4, "payments", include_str!("../../clickhouse/0004_payments.sql")),
    (5, "rewards", include_str!("../../clickhouse/0005_rewards.sql")),
    (6, "leaderboard snapshots", include_str!("../../clickhouse/0006_leaderboard_snapshots.sql")),
    (7, "events by hour", include_str!("../../clickhouse/0007_events_by_hour.sql")),
    (8, "roll-ups", include_str!("../../clickhouse/0008_rollups.sql")),
    (9, "refused rows", include_str!("../../clickhouse/0009_refused_rows.sql")),
    (10, "visitors' months", include_str!("../../clickhouse/0010_visitor_months.sql")),
    (11, "social metrics", include_str!("../../clickhouse/0011_social_metrics.sql")),
    (12, "creators' hours", include_str!("../../clickhouse/0012_creator_hours.sql")),
    (13, "visitors' acts", include_str!("../../clickhouse/0013_visitor_acts.sql")),
    (14, "names", include_str!("../../clickhouse/0014_names.sql")),
    (15, "touches", include_str!("../../clickhouse/0015_touches.sql")),
    (16, "visitors' sessions", include_str!("../../clickhouse/0016_visitor_sessions.sql")),
    (17, "workspaces' hours", include_str!("../../clickhouse/0017_workspace_hours.sql")),
];

#[derive(Row, Serialize, Deserialize)]
struct Applied {
    version: u32,
    name: String,
}

/// Brings the tables in `database` up to date. Safe to run again, and from two
/// processes at once: a lock in Postgres lets one go first.
///
/// # Errors
/// When either database fails.
pub async fn migrate(pool: &Pool, server: &Client, database: &str) -> Result<(), SinkError> {
    let _alone = store::migrate::alone(pool).await?;
    let server = server.clone().with_database("default");
    server.query("CREATE DATABASE IF NOT EXISTS {name:Identifier}").param("name", database).execute().await?;
    let client = server.with_database(database);
    client
        .query(
            "CREATE TABLE IF NOT EXISTS schema_migrations
             (version UInt32, name String, applied_at DateTime DEFAULT now())
             ENGINE = ReplacingMergeTree ORDER BY version
             COMMENT 'Which migrations of the tables here have been applied.'",
        )
        .execute()
        .await?;
    let applied: Vec<u32> =
        client.query("SELECT DISTINCT version FROM schema_migrations").fetch_all().await?;
    for (version, name, statements) in MIGRATIONS {
        if applied.contains(&version) {
            continue;
        }
        for statement in split(statements) {
            if applies(&client, statement).await? {
                client.query_raw(statement).execute().await?;
            }
        }
        let mut insert = client.insert::<Applied>("schema_migrations").await?;
        insert.write(&Applied { version, name: name.to_owned() }).await?;
        insert.end().await?;
        tracing::info!(version, name, "ClickHouse migration applied");
    }
    Ok(())
}

async fn applies(client: &Client, statement: &str) -> Result<bool, SinkError> {
    let Some(condition) = statement.lines().find_map(|line| line.strip_prefix("-- if: ")) else {
        return Ok(true);
    };
    let count: u64 = client.query_raw(condition).fetch_one().await?;
    Ok(count > 0)
}

/// The statements of a file: each ends with `;` at the end of a line.
fn split(file: &'static str) -> impl Iterator<Item = &'static str> {
    file.split(";\n").map(str::trim).filter(|statement| !statement.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_count_up_and_files_have_statements() {
        for (index, (version, name, statements)) in (1..).zip(MIGRATIONS) {
            assert_eq!(index, version);
            assert!(split(statements).count() >= 1, "{name}");
        }
        assert_eq!(split("a;\nb ';' c;\n").collect::<Vec<_>>(), ["a", "b ';' c"]);
    }
}
