//! The batch log: what was settled when, chained by hashes.

use std::collections::HashSet;

use domain::chain::{GENESIS, Hash, LineRecord, Records};
use futures_util::TryStreamExt as _;

use crate::reconcile::Extent;
use crate::scan::{ScannedOutcome, ScannedTransaction, scan};
use crate::{Connection, Pool, StoreError, sql};

/// A batch that is being settled.
#[derive(Clone, Debug)]
pub struct NewBatch<'a> {
    /// The topic, `credits`.
    pub topic: &'a str,
    /// The partition.
    pub partition: i32,
    /// Its first offset.
    pub first_offset: i64,
    /// Its last offset.
    pub last_offset: i64,
    /// Outcomes in it.
    pub outcome_count: usize,
    /// Ledger transactions in it.
    pub transaction_count: usize,
    /// Ledger lines in it.
    pub line_count: usize,
    /// The hash of the batch before it.
    pub previous_hash: Hash,
    /// Its own hash.
    pub hash: Hash,
}

/// A settled batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Its id.
    pub id: i64,
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// Its first offset.
    pub first_offset: i64,
    /// Its last offset.
    pub last_offset: i64,
    /// Outcomes in it.
    pub outcome_count: i32,
    /// Ledger transactions in it.
    pub transaction_count: i32,
    /// Ledger lines in it.
    pub line_count: i32,
    /// The hash of the batch before it.
    pub previous_hash: Hash,
    /// Its own hash.
    pub hash: Hash,
    /// The hash that the batch before it has; [`GENESIS`] of the first.
    pub hash_before: Hash,
}

fn hash(bytes: &[u8]) -> Result<Hash, StoreError> {
    Hash::try_from(bytes)
        .map_err(|_| StoreError::Row { table: "batches", message: "a hash is not 32 bytes".into() })
}

/// The hash of a partition's last batch.
///
/// # Errors
/// When the database fails.
pub async fn last_hash(connection: &mut Connection, topic: &str, partition: i32) -> Result<Hash, StoreError> {
    let bytes: Option<Vec<u8>> = sqlx::query_scalar(sql!("batches/last_hash"))
        .bind(topic)
        .bind(partition)
        .fetch_optional(connection)
        .await?;
    bytes.map_or(Ok(GENESIS), |bytes| hash(&bytes))
}

/// Writes a batch down; gives its id.
///
/// # Errors
/// When the database fails.
pub async fn insert(connection: &mut Connection, batch: &NewBatch<'_>) -> Result<i64, StoreError> {
    let count = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
    let id = sqlx::query_scalar(sql!("batches/insert"))
        .bind(batch.topic)
        .bind(batch.partition)
        .bind(batch.first_offset)
        .bind(batch.last_offset)
        .bind(count(batch.outcome_count))
        .bind(count(batch.transaction_count))
        .bind(count(batch.line_count))
        .bind(&batch.previous_hash[..])
        .bind(&batch.hash[..])
        .fetch_one(connection)
        .await?;
    Ok(id)
}

/// Id, first and last offset and outcome count of a settled batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct BatchRange {
    /// The batch.
    pub id: i64,
    /// Its first offset.
    pub first_offset: i64,
    /// Its last offset.
    pub last_offset: i64,
    /// Outcomes in it.
    pub outcome_count: i32,
}

/// Up to `limit` batches of a partition from `offset` on.
///
/// # Errors
/// When the database fails.
pub async fn after(
    pool: &Pool,
    topic: &str,
    partition: i32,
    offset: i64,
    limit: i64,
) -> Result<Vec<BatchRange>, StoreError> {
    let batches = sqlx::query_as(sql!("batches/after"))
        .bind(topic)
        .bind(partition)
        .bind(offset)
        .bind(limit)
        .fetch_all(pool)
        .await?;
    Ok(batches)
}

/// The partitions of `topic` with batches.
///
/// # Errors
/// When the database fails.
pub async fn partitions(pool: &Pool, topic: &str) -> Result<Vec<i32>, StoreError> {
    Ok(sqlx::query_scalar(sql!("batches/partitions")).bind(topic).fetch_all(pool).await?)
}

#[derive(sqlx::FromRow)]
struct BatchRow {
    id: i64,
    topic: String,
    partition: i32,
    first_offset: i64,
    last_offset: i64,
    outcome_count: i32,
    transaction_count: i32,
    line_count: i32,
    previous_hash: Vec<u8>,
    hash: Vec<u8>,
    hash_before: Option<Vec<u8>>,
}

/// All batches, or `only` these, by partition, in the order of the log.
///
/// # Errors
/// When the database fails.
pub async fn list(connection: &mut Connection, only: Option<&[i64]>) -> Result<Vec<Batch>, StoreError> {
    let rows: Vec<BatchRow> = sqlx::query_as(sql!("batches/list")).bind(only).fetch_all(connection).await?;
    rows.into_iter()
        .map(|row| {
            Ok(Batch {
                id: row.id,
                topic: row.topic,
                partition: row.partition,
                first_offset: row.first_offset,
                last_offset: row.last_offset,
                outcome_count: row.outcome_count,
                transaction_count: row.transaction_count,
                line_count: row.line_count,
                previous_hash: hash(&row.previous_hash)?,
                hash: hash(&row.hash)?,
                hash_before: row.hash_before.map_or(Ok(GENESIS), |bytes| hash(&bytes))?,
            })
        })
        .collect()
}

/// What the digest of the books covers: what follows from the topic `credits`
/// alone.
///
/// # Errors
/// When the database fails.
pub async fn all_records(connection: &mut Connection) -> Result<Records, StoreError> {
    let mut records = Records::default();
    let mut outcomes = scan::<ScannedOutcome>(connection, Extent::Full).await?;
    while let Some(scanned) = outcomes.try_next().await? {
        records.outcomes.push(scanned.outcome.record);
    }
    drop(outcomes);
    let mut of_the_log = HashSet::new();
    let mut transactions = scan::<ScannedTransaction>(connection, Extent::Full).await?;
    while let Some(ScannedTransaction { record, .. }) = transactions.try_next().await? {
        if record.kind.follows_from_the_log() {
            of_the_log.insert(record.id);
        }
    }
    drop(transactions);
    let mut lines = scan::<LineRecord>(connection, Extent::Full).await?;
    while let Some(line) = lines.try_next().await? {
        if of_the_log.contains(&line.transaction) {
            records.lines.push(line);
        }
    }
    Ok(records)
}
