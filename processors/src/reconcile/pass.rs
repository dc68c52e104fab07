//! One reading of all that batches wrote: whatever can be told from a batch's own
//! rows, and the sums of all, are told on the way.

use std::collections::HashMap;
use std::sync::Arc;

use domain::audit::{BatchHead, Findings, audit};
use domain::chain::LineRecord;
use domain::ledger::AccountKind;
use foldhash::fast::RandomState;
use futures_util::stream::{BoxStream, TryStreamExt as _};
use store::batches::Batch;
use store::reconcile::Extent;
use store::scan::{ScannedAccount, ScannedOutcome, ScannedTransaction, scan};
use store::{Pool, StoreError, Transaction, look_along};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::assembly::{Assembly, Whole};

/// So many rows of a table are read before it is asked which lags most.
const STRIDE: usize = 1_024;

/// What the pass found.
pub(super) struct Pass {
    /// What is wrong with batches, and their sums.
    pub findings: Findings,
    /// The accounts that were moved, or all.
    pub accounts: Vec<ScannedAccount>,
}

/// Reads the batches that `over` takes in, as `transaction` sees them.
pub(super) async fn run(
    pool: &Pool,
    transaction: &mut Transaction,
    over: Extent<'_>,
) -> Result<Pass, StoreError> {
    let only = match over {
        Extent::Full => None,
        Extent::New(batches) => Some(batches),
    };
    let batches = store::batches::list(transaction, only).await?;
    // Each table needs a connection, as they are read at once.
    let mut first = look_along(pool, transaction).await?;
    let mut second = look_along(pool, transaction).await?;
    let mut third = look_along(pool, transaction).await?;
    let accounts: Vec<ScannedAccount> = scan::<ScannedAccount>(&mut first, over).await?.try_collect().await?;
    let sum = |count: fn(&Batch) -> i32| batches.iter().map(|batch| f64::from(count(batch))).sum();
    let mut outcomes: Table<'_, ScannedOutcome> =
        Table::new(scan(&mut first, over).await?, sum(|batch| batch.outcome_count));
    let mut transactions: Table<'_, ScannedTransaction> =
        Table::new(scan(&mut second, over).await?, sum(|batch| batch.transaction_count));
    let mut lines: Table<'_, LineRecord> =
        Table::new(scan(&mut third, over).await?, sum(|batch| batch.line_count));
    let mut assembly = Assembly::new(batches.into_iter().map(|batch| (batch.id, head(batch))));
    let mut audits = Audits::new(&accounts);
    // What lies as far in as the rest belongs together, by and large.
    loop {
        let shares = [outcomes.share_read(), transactions.share_read(), lines.share_read()];
        let least = shares.into_iter().fold(f64::INFINITY, f64::min);
        let whole: Vec<Whole> = if least.is_infinite() {
            break;
        } else if shares[0] == least {
            outcomes.more().await?.into_iter().filter_map(|row| assembly.outcome(row)).collect()
        } else if shares[1] == least {
            transactions.more().await?.into_iter().filter_map(|row| assembly.transaction(row)).collect()
        } else {
            lines.more().await?.into_iter().filter_map(|row| assembly.line(row)).collect()
        };
        for whole in whole {
            audits.start(whole).await;
        }
    }
    let (lacking, strays) = assembly.finish();
    for whole in lacking {
        audits.start(whole).await;
    }
    let mut findings = audits.finish().await;
    findings.flaws.extend(strays);
    Ok(Pass { findings, accounts })
}

fn head(batch: Batch) -> BatchHead {
    let count = |count: i32| u64::try_from(count).unwrap_or_default();
    BatchHead {
        name: format!("{}/{}@{}", batch.topic, batch.partition, batch.first_offset),
        outcome_count: count(batch.outcome_count),
        transaction_count: count(batch.transaction_count),
        line_count: count(batch.line_count),
        previous_hash: batch.previous_hash,
        hash_before: batch.hash_before,
        hash: batch.hash,
    }
}

/// A table that is being read.
struct Table<'c, R> {
    rows: BoxStream<'c, Result<R, StoreError>>,
    is_read: bool,
    count: f64,
    expected: f64,
}

impl<'c, R> Table<'c, R> {
    fn new(rows: BoxStream<'c, Result<R, StoreError>>, expected: f64) -> Self {
        Self { rows, is_read: false, count: 0.0, expected: f64::max(expected, 1.0) }
    }

    /// How much of it is read; without end once it all is.
    fn share_read(&self) -> f64 {
        if self.is_read { f64::INFINITY } else { self.count / self.expected }
    }

    async fn more(&mut self) -> Result<Vec<R>, StoreError> {
        let mut rows = Vec::with_capacity(STRIDE);
        while rows.len() < STRIDE && !self.is_read {
            match self.rows.try_next().await? {
                Some(row) => rows.push(row),
                None => self.is_read = true,
            }
        }
        self.count += rows.len() as f64;
        Ok(rows)
    }
}

/// Looks at batches, several at once.
struct Audits {
    kinds: Arc<HashMap<Uuid, AccountKind, RandomState>>,
    running: JoinSet<Findings>,
    findings: Findings,
}

impl Audits {
    /// Whole batches are large: no more than these wait to be looked at.
    const AT_ONCE: usize = 8;

    fn new(accounts: &[ScannedAccount]) -> Self {
        let kinds = accounts.iter().map(|account| (account.id, account.kind)).collect();
        Self { kinds: Arc::new(kinds), running: JoinSet::new(), findings: Findings::default() }
    }

    async fn start(&mut self, (head, rows): Whole) {
        while self.running.len() >= Self::AT_ONCE {
            self.take_one().await;
        }
        let kinds = Arc::clone(&self.kinds);
        self.running.spawn_blocking(move || audit(&head, rows, |account| kinds.get(account).copied()));
    }

    async fn take_one(&mut self) {
        if let Some(found) = self.running.join_next().await {
            self.findings.add(found.expect("an audit does not panic"));
        }
    }

    async fn finish(mut self) -> Findings {
        while !self.running.is_empty() {
            self.take_one().await;
        }
        self.findings
    }
}
