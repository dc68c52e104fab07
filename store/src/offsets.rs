//! How far settlement has come in each partition of `credits`.

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
