//! ClickHouse on several servers: what statements and tables look like there.
//!
//! On a cluster each table is two. In the database `…_shard` lie the rows, replicated
//! within a shard; in the database that everybody asks stands a `Distributed` table of the
//! same name. A workspace's rows are all on one shard, so that whatever is asked of a
//! workspace, joins, `FINAL` and all, is answered by one server and as on a single one.

use std::fmt;

/// What a client says with each statement. On a single server none of it matters.
pub const CLIENT_SETTINGS: [(&str, &str); 6] = [
    // An insert is answered when the rows are on their shard, and on most of its replicas.
    ("distributed_foreground_insert", "1"),
    ("insert_quorum", "auto"),
    // Of a shard's replicas always the same one, as long as it is there: what is counted has
    // all that was loaded.
    ("load_balancing", "in_order"),
    // Only the workspace's shard is asked, …
    ("optimize_skip_unused_shards", "1"),
    // … and asks itself for what is within the question.
    ("distributed_product_mode", "local"),
    // What shards count by themselves is not the sum: it goes through whoever was asked.
    ("parallel_distributed_insert_select", "0"),
];

/// Which cluster a database is on: gives how its table `events` is made.
pub const ENGINE_OF_EVENTS: &str =
    "SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = 'events'";

/// How long replicas know an insert again by its token; a single server forgets none by time.
const KNOWN_AGAIN_SECONDS: u32 = 7 * 86_400;

/// How statements begin whose next word is a name that the cluster can be told after.
const HEADS: [&str; 11] = [
    "CREATE DATABASE IF NOT EXISTS ",
    "CREATE TABLE IF NOT EXISTS ",
    "CREATE OR REPLACE TABLE ",
    "CREATE OR REPLACE VIEW ",
    "CREATE USER OR REPLACE ",
    "CREATE QUOTA OR REPLACE ",
    "ALTER TABLE ",
    "DROP TABLE IF EXISTS ",
    "DROP DATABASE IF EXISTS ",
    "DROP USER IF EXISTS ",
    "DROP QUOTA IF EXISTS ",
];

/// A cluster, by its name in the servers' `remote_servers`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    name: String,
}

/// What cannot be a cluster's name.
#[derive(Debug, thiserror::Error)]
#[error("a cluster's name has letters, digits, '_' and '-' only, 64 at most; this is {0:?}")]
pub struct NoClusterName(String);

impl std::str::FromStr for Cluster {
    type Err = NoClusterName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
            return Err(NoClusterName(name.to_owned()));
        }
        Ok(Self { name: name.to_owned() })
    }
}

impl fmt::Display for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Cluster {
    /// The cluster that a table is on, given what `system.tables` calls `engine_full`.
    #[must_use]
    pub fn of_engine(engine_full: &str) -> Option<Self> {
        let (name, _) = engine_full.strip_prefix("Distributed('")?.split_once('\'')?;
        name.parse().ok()
    }

    /// The database in which the rows lie of the tables in `database`.
    #[must_use]
    pub fn shard_database(database: &str) -> String {
        format!("{database}_shard")
    }

    /// A statement, to be carried out on every server; nothing, if there is no such thing.
    #[must_use]
    pub fn everywhere(&self, statement: &str) -> Option<String> {
        let on_cluster = format!("ON CLUSTER `{}`", self.name);
        let (comments, body) = without_comments(statement);
        if body.starts_with("EXCHANGE TABLES ") {
            return Some(format!("{comments}{body} {on_cluster}"));
        }
        if let Some(rest) = body.strip_prefix("GRANT ") {
            return Some(format!("{comments}GRANT {on_cluster} {rest}"));
        }
        let head = HEADS.iter().find(|head| body.starts_with(**head))?;
        let name_end = body[head.len()..].find(char::is_whitespace).map_or(body.len(), |at| head.len() + at);
        let (before, after) = body.split_at(name_end);
        Some(format!("{comments}{before} {on_cluster}{after}"))
    }

    /// A statement that makes or changes a table of a shard, on every server; nothing, if
    /// there is no such thing. New tables are replicated.
    #[must_use]
    pub fn on_shards(&self, statement: &str) -> Option<String> {
        let everywhere = self.everywhere(statement)?;
        if !without_comments(&everywhere).1.starts_with("CREATE TABLE ") {
            return Some(everywhere);
        }
        let (columns, engine) = everywhere.rsplit_once("ENGINE = ")?;
        // Replicas would drop the second of two blocks that hold the same, which here are
        // two that are wanted, unless the table says that inserts have tokens.
        let window = engine
            .split_once("non_replicated_deduplication_window = ")
            .map_or("0", |(_, rest)| &rest[..rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())]);
        let known_again = format!(
            "replicated_deduplication_window = {window}, \
             replicated_deduplication_window_seconds = {KNOWN_AGAIN_SECONDS}"
        );
        let engine = match engine.split_once("\nSETTINGS ") {
            Some((before, after)) => format!("{before}\nSETTINGS {known_again}, {after}"),
            None => {
                let (before, comment) = engine.rsplit_once("COMMENT '")?;
                format!("{before}SETTINGS {known_again}\nCOMMENT '{comment}")
            }
        };
        Some(format!("{columns}ENGINE = Replicated{engine}"))
    }

    /// Makes the table that everybody asks for the rows of `table`, which has a column
    /// `workspace_id` or does not.
    #[must_use]
    pub fn distributed(&self, database: &str, table: &str, by_workspace: bool) -> String {
        let shards = Self::shard_database(database);
        let key = if by_workspace { "sipHash64(workspace_id)" } else { "0" };
        format!(
            "CREATE OR REPLACE TABLE `{database}`.`{table}` ON CLUSTER `{}` AS `{shards}`.`{table}` \
             ENGINE = Distributed('{}', '{shards}', '{table}', {key})",
            self.name, self.name
        )
    }
}

/// The lines of comments before a statement, and the statement.
fn without_comments(statement: &str) -> (&str, &str) {
    let mut at = 0;
    for line in statement.split_inclusive('\n') {
        if !line.starts_with("--") && !line.trim().is_empty() {
            break;
        }
        at += line.len();
    }
    statement.split_at(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn main() -> Cluster {
        "main".parse().expect("a name")
    }

    #[test]
    fn names_are_plain() {
        for name in ["", "a b", "a'b", "a`b", &"a".repeat(65)] {
            assert!(name.parse::<Cluster>().is_err(), "{name:?}");
        }
        assert_eq!("eu-1_main".parse::<Cluster>().expect("a name").to_string(), "eu-1_main");
    }

    #[test]
    fn statements_are_carried_out_everywhere() {
        for (statement, expected) in [
            ("CREATE DATABASE IF NOT EXISTS a", Some("CREATE DATABASE IF NOT EXISTS a ON CLUSTER `main`")),
            (
                "-- Why.\nALTER TABLE events\n    ADD COLUMN a Int8",
                Some("-- Why.\nALTER TABLE events ON CLUSTER `main`\n    ADD COLUMN a Int8"),
            ),
            ("EXCHANGE TABLES a AND b", Some("EXCHANGE TABLES a AND b ON CLUSTER `main`")),
            ("DROP DATABASE IF EXISTS a SYNC", Some("DROP DATABASE IF EXISTS a ON CLUSTER `main` SYNC")),
            ("GRANT SELECT ON a.* TO a", Some("GRANT ON CLUSTER `main` SELECT ON a.* TO a")),
            ("INSERT INTO a SELECT 1", None),
            ("SELECT 1", None),
        ] {
            assert_eq!(main().everywhere(statement).as_deref(), expected, "{statement}");
        }
    }

    #[test]
    fn tables_of_shards_are_replicated_and_know_inserts_by_their_tokens_only() {
        for (statement, expected) in [
            (
                "CREATE TABLE IF NOT EXISTS t (a Int8 COMMENT 'x')\nENGINE = ReplacingMergeTree(a)\nORDER BY a\nCOMMENT 'T'",
                "CREATE TABLE IF NOT EXISTS t ON CLUSTER `main` (a Int8 COMMENT 'x')\nENGINE = ReplicatedReplacingMergeTree(a)\n\
                 ORDER BY a\nSETTINGS replicated_deduplication_window = 0, replicated_deduplication_window_seconds = 604800\nCOMMENT 'T'",
            ),
            (
                "CREATE TABLE IF NOT EXISTS t AS u\nENGINE = AggregatingMergeTree\nORDER BY a\n\
                 SETTINGS non_replicated_deduplication_window = 7\nCOMMENT 'T'",
                "CREATE TABLE IF NOT EXISTS t ON CLUSTER `main` AS u\nENGINE = ReplicatedAggregatingMergeTree\nORDER BY a\n\
                 SETTINGS replicated_deduplication_window = 7, replicated_deduplication_window_seconds = 604800, \
                 non_replicated_deduplication_window = 7\nCOMMENT 'T'",
            ),
            ("DROP TABLE IF EXISTS t", "DROP TABLE IF EXISTS t ON CLUSTER `main`"),
        ] {
            assert_eq!(main().on_shards(statement).as_deref(), Some(expected));
        }
    }

    #[test]
    fn a_cluster_is_known_by_its_tables() {
        let engine = "Distributed('eu-1', 'tributary_shard', 'events', sipHash64(workspace_id))";
        assert_eq!(Cluster::of_engine(engine), "eu-1".parse().ok());
        assert_eq!(Cluster::of_engine("ReplacingMergeTree PARTITION BY a ORDER BY b"), None);
    }
}
