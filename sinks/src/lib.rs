//! Loads events and outcomes into ClickHouse, each offset range exactly once.
//!
//! | module | job |
//! |---|---|
//! | [`schema`] | the tables, and bringing them up to date |
//! | [`events`] | topic `events` → table `events` |
//! | [`outcomes`] | settled batches → tables `outcomes` and `touches` |
//! | [`rollups`] | hours of both, counted → tables `hourly_*` |
//! | [`snapshots`] | leaderboards as they stood → table `leaderboard_snapshots` |
//! | [`states`] | what waits in Postgres → tables `social_metrics` and `names` |
//! | `names` | what campaigns, links and users are called |
//! | [`social`] | accounts on social platforms: fetched, and → table `social_metrics` |
//! | `erasure` | visitors who ask to be forgotten |
//! | [`retention`] | events that a workspace does not keep any longer |
//! | `refused` | rows that ClickHouse does not take → table `refused_rows` |
//! | [`reconcile`] | compares ClickHouse with the books |
//! | `rows` | what a row is made of |
//! | `place` | where tables lie: on one server, or on a cluster |
//! | `block` | rows by columns, in ClickHouse's format Native |
//! | `loading` | rows on their way, and what their loader knows of each |

mod block;
mod erasure;
pub mod events;
mod loading;
mod names;
pub mod outcomes;
mod place;
pub mod reconcile;
mod refused;
pub mod retention;
pub mod rollups;
mod rows;
pub mod schema;
pub mod snapshots;
pub mod social;
pub mod states;

use std::time::Duration;

use block::Block;
pub use clickhouse::Client;
pub use rows::{EventRow, OutcomeRow};
use runtime::cluster::{CLIENT_SETTINGS, Cluster, ENGINE_OF_EVENTS};

/// What went wrong with ClickHouse or beside it.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// ClickHouse failed or does not answer.
    #[error("ClickHouse: {0}")]
    ClickHouse(#[from] clickhouse::error::Error),
    /// The tables lie elsewhere than the setting says.
    #[error(
        "the tables in {database} are on {found}, and by --clickhouse-cluster they would be on {wanted}; \
         set it to what they are, or name another --clickhouse-database"
    )]
    Cluster {
        /// The database.
        database: String,
        /// Where its tables are.
        found: String,
        /// Where the setting has them.
        wanted: String,
    },
    /// The tables hold what another installation loads.
    #[error(
        "the tables there are another installation's, with a Postgres of its own: name another \
         --clickhouse-database; or, if that Postgres is gone for good (restored from before it had an id, \
         say) and the rows are wanted here, TRUNCATE TABLE {table}"
    )]
    Foreign {
        /// The table that says whose they are.
        table: String,
    },
    /// Kafka refuses for good.
    #[error(transparent)]
    Kafka(#[from] runtime::KafkaError),
    /// Postgres failed.
    #[error(transparent)]
    Store(#[from] store::StoreError),
    /// Another loader works on the same partition.
    #[error("another loader has moved {0} on")]
    Fenced(String),
}

/// Ids by the thousand stand in a query.
const MAX_QUERY_BYTES: &str = "16777216";

/// A client for the database `database` at `url`.
#[must_use]
pub fn client(url: &str, database: &str) -> Client {
    let client = Client::default().with_url(url).with_database(database);
    CLIENT_SETTINGS.iter().fold(client, |client, (name, value)| client.with_setting(*name, *value))
}

/// The cluster that a client's tables are on, if they are on any.
async fn cluster_of(client: &Client) -> Result<Option<Cluster>, SinkError> {
    let engine: Option<String> = client.query(ENGINE_OF_EVENTS).fetch_optional().await?;
    Ok(engine.as_deref().and_then(Cluster::of_engine))
}

/// The token under which a range is inserted, the same on every try.
fn token(at: &store::sinks::SinkPartition, first: i64, last: i64) -> String {
    format!("{}/{}/{}/{first}-{last}", at.sink, at.topic, at.partition)
}

/// How an insert is one block: a second one under the same token is dropped by the server.
fn as_one_block(token: &str) -> [(&'static str, &str); 5] {
    [
        ("insert_deduplication_token", token),
        // One block whatever its size, so that a repeat splits the same way.
        ("max_insert_block_size", "10000000"),
        ("min_insert_block_size_rows", "0"),
        ("min_insert_block_size_bytes", "0"),
        // However far apart its events are.
        ("max_partitions_per_insert_block", "0"),
    ]
}

/// Inserts `rows` as one block.
async fn insert<T>(client: &Client, table: &str, token: &str, rows: &[T]) -> Result<(), SinkError>
where
    T: clickhouse::RowOwned + clickhouse::RowWrite,
{
    let mut insert = client.insert::<T>(table).await?;
    for (setting, value) in as_one_block(token) {
        insert = insert.with_setting(setting, value);
    }
    for row in rows {
        insert.write(row).await?;
    }
    insert.end().await?;
    Ok(())
}

/// So many bytes go to the server, compressed, at a time.
const BYTES_AT_ONCE: usize = 1 << 18;

/// Inserts a block that is made already. The same rows are the same bytes.
async fn insert_block(client: &Client, table: &str, token: &str, rows: &Block) -> Result<(), SinkError> {
    let columns = rows.column_list();
    let mut insert = client.insert_formatted_with(format!("INSERT INTO {table} ({columns}) FORMAT Native"));
    for (setting, value) in as_one_block(token) {
        insert = insert.with_setting(setting, value);
    }
    let mut bytes = rows.encode();
    while !bytes.is_empty() {
        let sent = insert.send(bytes.split_to(bytes.len().min(BYTES_AT_ONCE))).await;
        if let Err(error) = sent {
            // The server has answered before it had read all; what it said is more than that.
            insert.end().await?;
            return Err(error.into());
        }
    }
    insert.end().await?;
    Ok(())
}

/// How often it is looked whether a deletion is done on every server.
const DELETED_EVERY: Duration = Duration::from_millis(100);

/// Takes the rows out of a table that meet a condition, and waits until they are out.
async fn delete(client: &Client, table: &str, condition: &str) -> Result<(), SinkError> {
    let statement = format!("ALTER TABLE {table} DELETE WHERE {condition}");
    let Some(cluster) = cluster_of(client).await? else {
        let statement = format!("{statement} SETTINGS mutations_sync = 1");
        return Ok(client.query_raw(&statement).execute().await?);
    };
    let database: String = client.query("SELECT currentDatabase()").fetch_one().await?;
    let shards = Cluster::shard_database(&database);
    // Waited for here, not in the queue of what is for all servers: behind that all else waits.
    let everywhere = cluster.on_shards(&format!("{statement} SETTINGS mutations_sync = 0"));
    let everywhere = everywhere.expect("tables are altered everywhere");
    client.clone().with_database(&shards).query_raw(&everywhere).execute().await?;
    let under_way = format!(
        "SELECT count() FROM clusterAllReplicas('{cluster}', system.mutations)
         WHERE database = ? AND table = ? AND NOT is_done"
    );
    while client.query(&under_way).bind(&shards).bind(table).fetch_one::<u64>().await? > 0 {
        tokio::time::sleep(DELETED_EVERY).await;
    }
    Ok(())
}
