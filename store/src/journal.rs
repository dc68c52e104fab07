//! The movements within creators' wallets: releases and withdrawals. They do
//! not come over Kafka, but stand in the batch log like what does, under a name
//! of their own: numbered without a gap, one writer at a time, chained by
//! hashes.

use domain::chain::Records;
use domain::ledger::{Transaction, changes_of};

use crate::batches::NewBatch;
use crate::{Connection, StoreError, sql};

/// Where they stand among the topics of the batch log.
pub const WALLETS: &str = "wallets";
const PARTITION: i32 = 0;

/// The right to write the next batch; it ends with the transaction.
#[derive(Debug)]
pub struct Turn {
    offset: i64,
}

/// Waits for the turn to write. It comes before every other lock.
///
/// # Errors
/// When the database fails.
pub async fn begin(connection: &mut Connection) -> Result<Turn, StoreError> {
    sqlx::query(sql!("consumer_offsets/ensure"))
        .bind(WALLETS)
        .bind(PARTITION)
        .execute(&mut *connection)
        .await?;
    let offset = sqlx::query_scalar(sql!("consumer_offsets/lock"))
        .bind(WALLETS)
        .bind(PARTITION)
        .fetch_one(connection)
        .await?;
    Ok(Turn { offset })
}

/// Writes `transactions` as one batch, and moves the balances.
///
/// # Errors
/// When the database fails, or a balance would go on the wrong side of zero.
pub async fn write(
    connection: &mut Connection,
    turn: Turn,
    transactions: &[Transaction],
) -> Result<(), StoreError> {
    if transactions.is_empty() {
        return Ok(());
    }
    let Turn { offset } = turn;
    crate::offsets::advance(connection, WALLETS, PARTITION, offset, offset.saturating_add(1)).await?;
    let mut records = Records::of_transactions(transactions);
    let previous_hash = crate::batches::last_hash(connection, WALLETS, PARTITION).await?;
    let batch = NewBatch {
        topic: WALLETS,
        partition: PARTITION,
        first_offset: offset,
        last_offset: offset,
        outcome_count: 0,
        transaction_count: transactions.len(),
        line_count: records.lines.len(),
        previous_hash,
        hash: records.chained(&previous_hash),
    };
    let batch = crate::batches::insert(connection, &batch).await?;
    crate::ledger::post(connection, batch, transactions, &records.lines, &changes_of(transactions)).await
}
