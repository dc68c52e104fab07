//! A batch of `credits`, settled in one transaction.
//!
//! Compare-and-set of the offset, which locks the partition's row and fences a
//! second settler; the batch's orders and budgets, locked; what is known of its
//! ids; the plan, which is pure; then batch row, outcomes, ledger, budgets and
//! wallets. A crash anywhere leaves nothing or all of it.

use std::collections::{BTreeSet, HashSet};

use domain::chain::Records;
use domain::command::Command;
use domain::ledger::postings::WalletKey;
use domain::settlement::{
    Books, Plan, campaigns_of, ids_of, limited_campaigns_of, moments_of, new_budgets, orders_of, settle,
    shared_legs_of,
};
use store::batches::NewBatch;
use store::{Connection, Pool, StoreError};
use uuid::Uuid;

/// What settling a batch came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Settled {
    /// It is in the books.
    Committed(Box<Plan>),
    /// Another settler has moved on; the books are as it left them.
    Fenced,
}

/// A range of a partition's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The partition.
    pub partition: i32,
    /// Where settlement is believed to stand.
    pub first_offset: i64,
    /// The last offset of the range.
    pub last_offset: i64,
}

/// Settles `commands`, which are all that `range` holds.
///
/// # Errors
/// When the database fails; if the commit's answer was lost, the batch may be
/// in the books, which the next try finds out by being fenced.
pub async fn settle_batch(
    pool: &Pool,
    range: Range<'_>,
    commands: &[Command],
) -> Result<Settled, StoreError> {
    let mut transaction = store::begin(pool).await?;
    let Range { topic, partition, first_offset, last_offset } = range;
    let next = last_offset + 1;
    if !store::offsets::advance(&mut transaction, topic, partition, first_offset, next).await? {
        return Ok(Settled::Fenced);
    }
    let books = read_books(&mut transaction, commands).await?;
    let mut plan = settle(commands, books);
    let freed = repay(&mut transaction, &mut plan).await?;
    let mut records = Records::of(&plan);
    let batch = insert_batch(&mut transaction, range, &plan, &mut records).await?;
    store::outcomes::insert(&mut transaction, batch, &plan.outcomes).await?;
    store::outcomes::quarantine(&mut transaction, batch, &plan.quarantined).await?;
    store::refunds::save(&mut transaction, &plan.resolved, &plan.parked).await?;
    store::ledger::insert_fundings(&mut transaction, batch, &plan.fundings).await?;
    store::ledger::insert_closings(&mut transaction, batch, &plan.closings).await?;
    store::ledger::save_budgets(&mut transaction, plan.budgets.values()).await?;
    store::limits::save(&mut transaction, batch, &plan.spending).await?;
    let (transactions, lines) = (&plan.transactions, &records.lines);
    store::ledger::post(&mut transaction, batch, transactions, lines, &plan.account_changes()).await?;
    match freed {
        Some(freed) => store::wallets::free(&mut transaction, &freed).await?,
        // The accounts are locked by now.
        None => store::wallets::hold(&mut transaction, &plan.earned()).await?,
    }
    store::commit(transaction).await?;
    Ok(Settled::Committed(Box::new(plan)))
}

/// Reads, and locks, what `commands` are decided by.
async fn read_books(connection: &mut Connection, commands: &[Command]) -> Result<Books, StoreError> {
    let orders = orders_of(commands);
    store::refunds::lock_orders(connection, &orders).await?;
    store::ledger::ensure_budgets(connection, &new_budgets(commands)).await?;
    // Budgets before ids: whatever another partition's settler does to the
    // same campaign is then over, and seen by the next statement.
    let campaigns = campaigns_of(commands);
    let budgets = store::ledger::lock_budgets(connection, &campaigns).await?;
    // A campaign without a budget pays nothing, and is locked by nobody.
    let mut newly_limited = limited_campaigns_of(commands);
    newly_limited.retain(|campaign| budgets.contains_key(campaign));
    let limited = store::limits::limited(connection, &campaigns, &newly_limited).await?;
    let known = store::outcomes::known(connection, &ids_of(commands)).await?;
    let waiting = store::refunds::waiting(connection, &orders.sold).await?;
    let keys = orders.sought.iter().chain(&orders.found).chain(waiting.keys());
    let keys: HashSet<Uuid> = keys.copied().collect();
    let orders = store::refunds::orders(connection, keys.into_iter().collect()).await?;
    let moments = moments_of(commands, &orders, &limited);
    let spending = store::limits::read(connection, limited, &moments, commands).await?;
    let paid = store::outcomes::paid(connection, &shared_legs_of(commands)).await?;
    Ok(Books { known, budgets, orders, waiting, spending, paid })
}

/// Covers what refunds took out of the creators' wallets; gives what is no
/// longer held. `None` without a refund: then no wallet need be read.
async fn repay(
    connection: &mut Connection,
    plan: &mut Plan,
) -> Result<Option<Vec<(WalletKey, i64, i64)>>, StoreError> {
    if plan.clawed.is_empty() {
        return Ok(None);
    }
    let wallets: BTreeSet<WalletKey> = plan.clawed.iter().map(|clawed| clawed.wallet).collect();
    // All accounts of the batch at once, so that everybody locks in one order.
    let of_wallets = wallets.iter().flat_map(WalletKey::balances);
    store::ledger::lock_accounts(connection, &of_wallets.chain(plan.account_changes().into_keys()).collect())
        .await?;
    // What this batch itself earned is held as well.
    store::wallets::hold(connection, &plan.earned()).await?;
    let earned = plan.clawed.iter().map(|clawed| (clawed.wallet.workspace, clawed.earned_at_ms));
    let held_until = store::wallets::held_until(connection, earned).await?;
    let mut wallets = store::wallets::read(connection, &wallets).await?;
    let freed = plan.repay(&mut wallets, &held_until);
    freed.map(Some).map_err(|error| StoreError::Row { table: "wallet_buckets", message: error.to_string() })
}

async fn insert_batch(
    connection: &mut Connection,
    range: Range<'_>,
    plan: &Plan,
    records: &mut Records,
) -> Result<i64, StoreError> {
    let Range { topic, partition, first_offset, last_offset } = range;
    let previous_hash = store::batches::last_hash(connection, topic, partition).await?;
    let batch = NewBatch {
        topic,
        partition,
        first_offset,
        last_offset,
        outcome_count: plan.outcomes.len(),
        transaction_count: plan.transactions.len(),
        line_count: records.lines.len(),
        previous_hash,
        hash: records.chained(&previous_hash),
    };
    store::batches::insert(connection, &batch).await
}
