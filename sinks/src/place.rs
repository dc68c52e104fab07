//! Where the tables lie: on one server, or on the servers of a cluster.

use clickhouse::{Client, Row};
use runtime::cluster::Cluster;
use serde::Deserialize;

use crate::SinkError;

/// The tables of a database, to be made and changed.
pub(crate) struct Place<'a> {
    database: &'a str,
    cluster: Option<&'a Cluster>,
    /// The tables that everybody asks.
    pub(crate) tables: Client,
    /// Those that the rows lie in: the same ones, but on a cluster.
    shards: Client,
}

/// A table of the shards that is not, or not so, among those that everybody asks.
#[derive(Row, Deserialize)]
struct Unpublished {
    name: String,
    by_workspace: bool,
}

impl<'a> Place<'a> {
    /// Makes the databases, and the tables that `first` makes, where they are missing.
    ///
    /// # Errors
    /// When ClickHouse fails, or there are tables that are made for another place.
    pub(crate) async fn make(
        server: &Client,
        database: &'a str,
        cluster: Option<&'a Cluster>,
        first: &[&str],
    ) -> Result<Self, SinkError> {
        let beside = server.clone().with_database("default");
        check(&beside, database, cluster).await?;
        let on_shards = match cluster {
            Some(_) => Cluster::shard_database(database),
            None => database.to_owned(),
        };
        let place = Self {
            database,
            cluster,
            tables: server.clone().with_database(database),
            shards: server.clone().with_database(&on_shards),
        };
        for name in [database, &on_shards] {
            let create = format!("CREATE DATABASE IF NOT EXISTS `{}`", name.replace('`', "``"));
            beside.query_raw(&place.told(&create)).execute().await?;
        }
        for statement in first {
            place.change(statement).await?;
        }
        place.publish().await?;
        Ok(place)
    }

    /// What the table is called that the rows of `table` lie in, for whoever truncates it.
    pub(crate) fn rows_of(&self, table: &str) -> String {
        match self.cluster {
            None => format!("`{}`.{table}", self.database),
            Some(cluster) => {
                format!("`{}`.{table} ON CLUSTER `{cluster}`", Cluster::shard_database(self.database))
            }
        }
    }

    /// Carries out a statement of a migration, unless it says that it is not for what there is.
    pub(crate) async fn carry_out(&self, statement: &str) -> Result<(), SinkError> {
        if !self.applies(statement).await? {
            return Ok(());
        }
        if is_insert(statement) {
            // Rows go where they belong through the tables that everybody asks.
            self.publish().await?;
            return Ok(self.tables.query_raw(statement).execute().await?);
        }
        self.change(statement).await?;
        if self.cluster.is_some() && statement.lines().any(|line| line.starts_with("DROP TABLE ")) {
            self.tables.query_raw(&self.told(statement)).execute().await?;
        }
        Ok(())
    }

    /// Makes the tables that everybody asks as those of the shards are now.
    pub(crate) async fn publish(&self) -> Result<(), SinkError> {
        let Some(cluster) = self.cluster else { return Ok(()) };
        let unpublished = self
            .shards
            .query(
                "SELECT s.name AS name, s.by_workspace AS by_workspace
                 FROM
                 (
                     SELECT table AS name, has(groupArray(c.name), 'workspace_id')::Bool AS by_workspace,
                         arraySort(groupArray((c.position, c.name, c.type, c.comment))) AS columns
                     FROM system.columns AS c WHERE database = currentDatabase() GROUP BY table
                 ) AS s
                 LEFT JOIN
                 (
                     SELECT table AS name, arraySort(groupArray((c.position, c.name, c.type, c.comment))) AS columns
                     FROM system.columns AS c WHERE database = ? GROUP BY table
                 ) AS d USING name
                 WHERE s.columns != d.columns",
            )
            .bind(self.database)
            .fetch_all::<Unpublished>()
            .await?;
        for Unpublished { name, by_workspace } in unpublished {
            let statement = cluster.distributed(self.database, &name, by_workspace);
            self.tables.query_raw(&statement).execute().await?;
        }
        Ok(())
    }

    /// A statement, as it is told to servers.
    fn told(&self, statement: &str) -> String {
        let everywhere = self.cluster.map(|cluster| cluster.on_shards(statement));
        everywhere.unwrap_or_else(|| Some(statement.to_owned())).expect("tests look at every statement")
    }

    async fn change(&self, statement: &str) -> Result<(), SinkError> {
        // Also by whoever is asked next what the columns are.
        let query = self.shards.query_raw(&self.told(statement)).with_setting("alter_sync", "2");
        Ok(query.execute().await?)
    }

    async fn applies(&self, statement: &str) -> Result<bool, SinkError> {
        let Some(condition) = statement.lines().find_map(|line| line.strip_prefix("-- if: ")) else {
            return Ok(true);
        };
        let count: u64 = self.shards.query_raw(condition).fetch_one().await?;
        Ok(count > 0)
    }
}

/// Whether the tables of a database that are there already are where they are expected. On
/// a cluster each server is asked: tables of the same names would be replaced there.
async fn check(server: &Client, database: &str, cluster: Option<&Cluster>) -> Result<(), SinkError> {
    let here = "system.tables WHERE name IN ('schema_migrations', 'events')".to_owned();
    let anywhere =
        cluster.map(|cluster| format!("clusterAllReplicas('{cluster}', system.tables) WHERE true"));
    for tables in [Some(here), anywhere].into_iter().flatten() {
        let engines: Vec<String> = server
            .query(&format!(
                "SELECT DISTINCT engine_full FROM {tables}
                 AND database = ? AND (engine LIKE '%MergeTree' OR engine = 'Distributed')"
            ))
            .bind(database)
            .fetch_all()
            .await?;
        let found = engines.iter().map(|engine| Cluster::of_engine(engine));
        if let Some(found) = found.into_iter().find(|found| found.as_ref() != cluster) {
            let place = |cluster: Option<&Cluster>| match cluster {
                None => "one server".to_owned(),
                Some(cluster) => format!("the cluster {cluster}"),
            };
            return Err(SinkError::Cluster {
                database: database.to_owned(),
                found: place(found.as_ref()),
                wanted: place(cluster),
            });
        }
    }
    Ok(())
}

pub(crate) fn is_insert(statement: &str) -> bool {
    statement.lines().any(|line| line.starts_with("INSERT INTO "))
}
