//! How far each sink has loaded each partition into ClickHouse.

use uuid::Uuid;

use crate::rollups::Hours;
use crate::{Pool, StoreError, sql};

/// One sink on one partition.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SinkPartition {
    /// The sink's name.
    pub sink: &'static str,
    /// The topic it loads.
    pub topic: String,
    /// The partition.
    pub partition: i32,
}

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Position {
    /// The first offset that is not surely loaded.
    pub next_offset: i64,
    /// The last offset of a range whose insert may or may not have happened.
    pub open_last_offset: Option<i64>,
}

/// Where the sink stands.
///
/// # Errors
/// When the database fails.
pub async fn position(pool: &Pool, at: &SinkPartition) -> Result<Position, StoreError> {
    sqlx::query(sql!("sink_positions/ensure"))
        .bind(at.sink)
        .bind(&at.topic)
        .bind(at.partition)
        .execute(pool)
        .await?;
    let position = sqlx::query_as(sql!("sink_positions/get"))
        .bind(at.sink)
        .bind(&at.topic)
        .bind(at.partition)
        .fetch_one(pool)
        .await?;
    Ok(position)
}

/// Says that `first..=last` is about to be loaded, and may change these hours; `false`
/// if another loader has moved on or has opened another range.
///
/// # Errors
/// When the database fails.
pub async fn open(
    pool: &Pool,
    at: &SinkPartition,
    first: i64,
    last: i64,
    changes: &Hours,
) -> Result<bool, StoreError> {
    let (workspaces, hours_ms): (Vec<Uuid>, Vec<i64>) = changes.iter().copied().unzip();
    let moved = sqlx::query(sql!("sink_positions/open"))
        .bind(at.sink)
        .bind(&at.topic)
        .bind(at.partition)
        .bind(first)
        .bind(last)
        .bind(workspaces)
        .bind(hours_ms)
        .execute(pool)
        .await?;
    Ok(moved.rows_affected() == 1)
}

/// Says that `first..=last` has been loaded, and that it changed these hours;
/// `false` if another loader has said so.
///
/// # Errors
/// When the database fails.
pub async fn close(
    pool: &Pool,
    at: &SinkPartition,
    first: i64,
    last: i64,
    changed: &Hours,
) -> Result<bool, StoreError> {
    let (workspaces, hours_ms): (Vec<Uuid>, Vec<i64>) = changed.iter().copied().unzip();
    let closed: i64 = sqlx::query_scalar(sql!("sink_positions/close"))
        .bind(at.sink)
        .bind(&at.topic)
        .bind(at.partition)
        .bind(first)
        .bind(last)
        .bind(workspaces)
        .bind(hours_ms)
        .fetch_one(pool)
        .await?;
    Ok(closed == 1)
}

/// All (sink, topic, partition, next offset, open last offset).
///
/// # Errors
/// When the database fails.
pub async fn list(pool: &Pool) -> Result<Vec<(String, String, i32, i64, Option<i64>)>, StoreError> {
    Ok(sqlx::query_as(sql!("sink_positions/list")).fetch_all(pool).await?)
}

/// Since when the outcomes' sink is behind: what was settled before, it has
/// loaded. `None` if it has loaded all. Milliseconds since 1970.
///
/// # Errors
/// When the database fails.
pub async fn watermark(pool: &Pool, sink: &str) -> Result<Option<i64>, StoreError> {
    Ok(sqlx::query_scalar(sql!("sink_positions/watermark")).bind(sink).fetch_one(pool).await?)
}
