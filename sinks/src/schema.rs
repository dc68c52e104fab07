//! The tables in ClickHouse, in the order of their migrations.

use clickhouse::{Client, Row};
use serde::{Deserialize, Serialize};

use runtime::cluster::Cluster;
use store::Pool;
use uuid::Uuid;

use crate::SinkError;
use crate::place::Place;

/// Version, name and statements of each migration. Every statement must be
/// harmless to repeat: ClickHouse has no transactions over DDL. One after a line
/// `-- if: QUERY` is left out where the query gives 0.
const MIGRATIONS: [(u32, &str, &str); 18] = [
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
    (18, "engagement among metrics", include_str!("../../clickhouse/0018_engagement_comment.sql")),
];

const SCHEMA_MIGRATIONS: &str = "CREATE TABLE IF NOT EXISTS schema_migrations
(
    version    UInt32                 COMMENT 'Its number',
    name       String                 COMMENT 'What it is about',
    applied_at DateTime DEFAULT now() COMMENT 'When, by the server''s clock'
)
ENGINE = ReplacingMergeTree ORDER BY version
COMMENT 'Which migrations of the tables here have been applied.'";

const INSTALLATION: &str = "CREATE TABLE IF NOT EXISTS installation
(id UUID COMMENT 'Its id in Postgres')
ENGINE = ReplacingMergeTree ORDER BY id
COMMENT 'Whose tables these are: one installation loads into them, and its books know what is in them.'";

#[derive(Row, Serialize, Deserialize)]
struct Whose {
    #[serde(with = "clickhouse::serde::uuid")]
    id: Uuid,
}

#[derive(Row, Serialize, Deserialize)]
struct Applied {
    version: u32,
    name: String,
}

/// Brings the tables in `database` up to date. Safe to run again, and from two
/// processes at once: a lock in Postgres lets one go first.
///
/// # Errors
/// When either database fails, or the tables are there and made for another cluster.
pub async fn migrate(
    pool: &Pool,
    server: &Client,
    database: &str,
    cluster: Option<&Cluster>,
) -> Result<(), SinkError> {
    let mut alone = store::migrate::alone(pool).await?;
    let place = Place::make(server, database, cluster, &[SCHEMA_MIGRATIONS, INSTALLATION]).await?;
    claim(&place, store::migrate::installation(&mut *alone).await?).await?;
    let applied: Vec<u32> =
        place.tables.query("SELECT DISTINCT version FROM schema_migrations").fetch_all().await?;
    for (version, name, statements) in MIGRATIONS {
        if applied.contains(&version) {
            continue;
        }
        for statement in split(statements) {
            place.carry_out(statement).await?;
        }
        place.publish().await?;
        let mut insert = place.tables.insert::<Applied>("schema_migrations").await?;
        insert.write(&Applied { version, name: name.to_owned() }).await?;
        insert.end().await?;
        tracing::info!(version, name, "ClickHouse migration applied");
    }
    Ok(())
}

/// Makes the tables `installation`'s, if they are nobody's.
async fn claim(place: &Place<'_>, installation: Uuid) -> Result<(), SinkError> {
    let whose = place.tables.query("SELECT DISTINCT ?fields FROM installation").fetch_all::<Whose>().await?;
    if whose.iter().any(|whose| whose.id != installation) {
        return Err(SinkError::Foreign { table: place.rows_of("installation") });
    }
    if whose.is_empty() {
        let mut insert = place.tables.insert::<Whose>("installation").await?;
        insert.write(&Whose { id: installation }).await?;
        insert.end().await?;
    }
    Ok(())
}

/// The statements of a file: each ends with `;` at the end of a line.
fn split(file: &'static str) -> impl Iterator<Item = &'static str> {
    file.split(";\n").map(str::trim).filter(|statement| !statement.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::is_insert;

    #[test]
    fn versions_count_up_and_files_have_statements_that_clusters_understand() {
        let cluster: Cluster = "main".parse().expect("a name");
        for (index, (version, name, statements)) in (1..).zip(MIGRATIONS) {
            assert_eq!(index, version);
            assert!(split(statements).count() >= 1, "{name}");
            for statement in split(statements) {
                assert!(is_insert(statement) || cluster.on_shards(statement).is_some(), "{statement}");
            }
        }
        for statement in [SCHEMA_MIGRATIONS, INSTALLATION] {
            assert!(cluster.on_shards(statement).is_some(), "{statement}");
        }
        assert_eq!(split("a;\nb ';' c;\n").collect::<Vec<_>>(), ["a", "b ';' c"]);
    }
}
