//! All of Tributary's SQL on Postgres: one function, one file under
//! `queries/<table>/<verb>.sql`.
//!
//! Functions that are part of a larger transaction take a connection; the
//! caller begins and commits. Lock order, for everybody: offsets, orders,
//! budgets, accounts, fee accounts, buckets.

pub mod access;
pub mod batches;
pub mod campaigns;
pub mod cohorts;
pub mod control;
pub mod export;
pub mod journal;
pub mod ledger;
pub mod limits;
pub mod links;
pub mod migrate;
pub mod names;
pub mod offsets;
pub mod outcomes;
pub mod payments;
pub mod payouts;
pub mod periods;
pub mod reconcile;
pub mod refunds;
pub mod retention;
pub mod rollups;
pub mod scan;
pub mod sinks;
pub mod social;
pub mod statements;
pub mod tax;
pub mod wallets;
pub mod withdrawals;

use std::time::Duration;

use sqlx::Connection as _;
pub use sqlx::postgres::PgPool as Pool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
pub use sqlx::{PgConnection as Connection, Postgres};

/// The statement in `queries/$name.sql`.
macro_rules! sql {
    ($name:literal) => {
        include_str!(concat!("../queries/", $name, ".sql"))
    };
}
pub(crate) use sql;

/// Whoever does not answer within this time is away.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A transaction in progress; dropped, it rolls back.
pub type Transaction = sqlx::Transaction<'static, Postgres>;

/// What went wrong in the database.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The address is not one of a database.
    #[error("database URL: {0}")]
    Url(#[source] sqlx::Error),
    /// No connection.
    #[error("Postgres does not answer: {0}")]
    Unreachable(#[source] sqlx::Error),
    /// A statement failed.
    #[error("Postgres: {0}")]
    Query(#[source] sqlx::Error),
    /// A migration failed.
    #[error("migrating the database: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// A row that this version cannot understand.
    #[error("row in {table}: {message}")]
    Row {
        /// The table.
        table: &'static str,
        /// What is wrong with it.
        message: String,
    },
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => {
                Self::Unreachable(error)
            }
            error => Self::Query(error),
        }
    }
}

impl StoreError {
    /// The constraint that a statement broke, if that was it.
    #[must_use]
    pub fn broken_constraint(&self) -> Option<&str> {
        match self {
            Self::Query(sqlx::Error::Database(error)) => error.constraint(),
            _ => None,
        }
    }

    /// Whether a text had a character that Postgres does not keep: NUL.
    #[must_use]
    pub fn is_about_the_text(&self) -> bool {
        match self {
            Self::Query(sqlx::Error::Database(error)) => {
                error.code().is_some_and(|code| code == "22021" || code == "22P05")
            }
            _ => false,
        }
    }

    /// Whether a lock was not there in time.
    #[must_use]
    pub fn is_lock_timeout(&self) -> bool {
        match self {
            Self::Query(sqlx::Error::Database(error)) => error.code().is_some_and(|code| code == "55P03"),
            _ => false,
        }
    }

    /// Whether trying again later may help: the server is away, or two
    /// transactions met.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            // Classes 08 (connection), 40 (serialisation, deadlock), 53
            // (resources), 57 (shutdown).
            Self::Query(sqlx::Error::Database(error)) => error
                .code()
                .is_some_and(|code| ["08", "40", "53", "57"].iter().any(|class| code.starts_with(class))),
            _ => false,
        }
    }
}

/// Opens a pool of at most `max_connections`.
///
/// # Errors
/// When the URL is not one, or the server does not answer within ten seconds.
pub async fn connect(url: &str, max_connections: u32) -> Result<Pool, StoreError> {
    let options: PgConnectOptions = url.parse().map_err(StoreError::Url)?;
    PgPoolOptions::new()
        .max_connections(max_connections)
        .acquire_timeout(CONNECT_TIMEOUT)
        .connect_with(options.application_name("tributary"))
        .await
        .map_err(StoreError::Unreachable)
}

/// Opens a pool without connecting yet.
///
/// # Errors
/// When the URL is not one.
pub fn connect_lazy(url: &str, max_connections: u32) -> Result<Pool, StoreError> {
    let options: PgConnectOptions = url.parse().map_err(StoreError::Url)?;
    Ok(PgPoolOptions::new()
        .max_connections(max_connections)
        .acquire_timeout(Duration::from_secs(2))
        .connect_lazy_with(options.application_name("tributary")))
}

/// Begins a transaction.
///
/// # Errors
/// When the server does not answer.
pub async fn begin(pool: &Pool) -> Result<Transaction, StoreError> {
    Ok(pool.begin().await?)
}

/// Begins a transaction that reads, and sees all of it as of one moment.
///
/// # Errors
/// When the server does not answer.
pub async fn begin_snapshot(pool: &Pool) -> Result<Transaction, StoreError> {
    Ok(pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?)
}

/// A connection of its own, outside of the pool, that sees what `transaction`, of
/// one moment, sees, as long as that lasts.
///
/// # Errors
/// When the server does not answer.
pub async fn look_along(pool: &Pool, transaction: &mut Transaction) -> Result<Connection, StoreError> {
    // It waits while others look along.
    sqlx::query("SET LOCAL idle_in_transaction_session_timeout = 0").execute(&mut **transaction).await?;
    let snapshot: String =
        sqlx::query_scalar("SELECT pg_export_snapshot()").fetch_one(&mut **transaction).await?;
    let options = pool.connect_options();
    let mut connection = tokio::time::timeout(CONNECT_TIMEOUT, Connection::connect_with(&options))
        .await
        .map_err(|_elapsed| StoreError::Unreachable(sqlx::Error::PoolTimedOut))??;
    // Scans begin where the table begins, and not where another one is.
    let begin = format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT '{snapshot}'; \
         SET LOCAL synchronize_seqscans = off"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(begin)).execute(&mut connection).await?;
    Ok(connection)
}

/// Says good-bye to the server.
pub async fn hang_up(connection: Connection) {
    // If it is gone already, so much the better.
    let _gone = connection.close().await;
}

/// Begins a transaction that sees all of it as of one moment, and may write.
///
/// # Errors
/// When the server does not answer.
pub async fn begin_repeatable(pool: &Pool) -> Result<Transaction, StoreError> {
    Ok(pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ").await?)
}

/// Commits a transaction.
///
/// # Errors
/// When the server refuses, or the answer is lost: then it may have happened.
pub async fn commit(transaction: Transaction) -> Result<(), StoreError> {
    Ok(transaction.commit().await?)
}

/// Unsigned and small numbers that Postgres keeps as signed ones.
pub(crate) fn narrow<T: TryFrom<i64>>(table: &'static str, value: i64) -> Result<T, StoreError> {
    T::try_from(value)
        .map_err(|_out_of_range| StoreError::Row { table, message: format!("{value} is out of range") })
}

pub(crate) fn currency(table: &'static str, code: &str) -> Result<domain::money::Currency, StoreError> {
    domain::money::Currency::new(code).map_err(|error| StoreError::Row { table, message: error.to_string() })
}
