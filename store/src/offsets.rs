//! How far settlement has come in each partition of `credits`, and attribution
//! in each of `events`.

use crate::{Connection, Pool, StoreError, sql};

/// The next offset to settle; 0 for a partition never seen.
///
/// # Errors
/// When the database fails.
pub async fn next_offset(pool: &Pool, topic: &str, partition: i32) -> Result<i64, StoreError> {
    sqlx::query(sql!("consumer_offsets/ensure")).bind(topic).bind(partition).execute(pool).await?;
    let offset =
        sqlx::query_scalar(sql!("consumer_offsets/get")).bind(topic).bind(partition).fetch_one(pool).await?;
    Ok(offset)
}

/// Moves from `expected` to `next`; `false` if another writer already has, in
/// which case the caller rolls back. The row stays locked until the end of the
/// transaction.
///
/// # Errors
/// When the database fails.
pub async fn advance(
    connection: &mut Connection,
    topic: &str,
    partition: i32,
    expected: i64,
    next: i64,
) -> Result<bool, StoreError> {
    let moved = sqlx::query(sql!("consumer_offsets/advance"))
        .bind(topic)
        .bind(partition)
        .bind(expected)
        .bind(next)
        .execute(connection)
        .await?;
    Ok(moved.rows_affected() == 1)
}

/// All (topic, partition, next offset).
///
/// # Errors
/// When the database fails.
pub async fn list(pool: &Pool) -> Result<Vec<(String, i32, i64)>, StoreError> {
    Ok(sqlx::query_as(sql!("consumer_offsets/list")).fetch_all(pool).await?)
}

/// The offset of `events` before which attribution has surely emitted all; 0
/// for a partition never seen.
///
/// # Errors
/// When the database fails.
pub async fn emitted_to(pool: &Pool, topic: &str, partition: i32) -> Result<i64, StoreError> {
    let offset = sqlx::query_scalar(sql!("attribution_positions/get"))
        .bind(topic)
        .bind(partition)
        .fetch_optional(pool)
        .await?;
    Ok(offset.unwrap_or_default())
}

/// Notes such offsets of (partition, offset). They only move on.
///
/// # Errors
/// When the database fails.
pub async fn save_emitted(pool: &Pool, topic: &str, positions: &[(i32, i64)]) -> Result<(), StoreError> {
    if positions.is_empty() {
        return Ok(());
    }
    let (partitions, offsets): (Vec<i32>, Vec<i64>) = positions.iter().copied().unzip();
    sqlx::query(sql!("attribution_positions/save"))
        .bind(topic)
        .bind(partitions)
        .bind(offsets)
        .execute(pool)
        .await?;
    Ok(())
}
