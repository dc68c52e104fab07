//! One reading of all that batches wrote: whatever can be told from a batch's own
//! rows, and the sums of all, are told on the way.

use std::collections::HashMap;
use std::sync::Arc;

use domain::audit::{BatchHead, Findings, Flaw, added, audit, orphan};
use domain::chain::LineRecord;
use domain::ledger::AccountKind;
use foldhash::fast::RandomState;
use futures_util::stream::{BoxStream, TryStreamExt as _};
use store::batches::Batch;
use store::reconcile::Extent;
use store::scan::{FEW_BATCHES, ScannedAccount, ScannedOutcome, ScannedTransaction, scan};
use store::{Connection, Pool, StoreError, Transaction, hang_up, look_along};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::assembly::{Assembly, Rest, Whole};

/// So many rows of a table are read before it is asked which lags most.
const STRIDE: usize = 1_024;
/// So many entries that found no transaction are looked into.
const MAX_LOOKED_INTO: usize = 1_000;

/// What the pass found.
#[derive(Default)]
pub(super) struct Pass {
    /// What is wrong with batches, and their sums.
    pub findings: Findings,
    /// The accounts that were moved, or all.
    pub accounts: Vec<ScannedAccount>,
}

/// Reads the batches that `over` takes in, as `transaction` sees them. Tables are
/// read as they lie, unless more than `max_held_rows` would have to wait for what
/// belongs to them: then by some batches at a time.
pub(super) async fn run(
    pool: &Pool,
    transaction: &mut Transaction,
    over: Extent<'_>,
    max_held_rows: usize,
) -> Result<Pass, StoreError> {
    let only = match over {
        Extent::Full => None,
        Extent::New([]) => return Ok(Pass::default()),
        Extent::New(batches) => Some(batches),
    };
    let batches = store::batches::list(transaction, only).await?;
    let mut tables = open(pool, transaction).await?;
    let accounts: Vec<ScannedAccount> =
        scan::<ScannedAccount>(&mut tables[0], over).await?.try_collect().await?;
    let kinds = accounts.iter().map(|account| (account.id, account.kind)).collect();
    let kinds: Arc<Kinds> = Arc::new(kinds);
    let findings = match read(&mut tables, transaction, over, &batches, &kinds, max_held_rows).await? {
        Some(findings) => findings,
        None => {
            tracing::info!("the tables lie in other orders; they are read by some batches at a time");
            // The old connections are full of rows that nobody reads.
            tables = open(pool, transaction).await?;
            by_portions(&mut tables, transaction, over, &batches, &kinds).await?
        }
    };
    for connection in tables {
        hang_up(connection).await;
    }
    Ok(Pass { findings, accounts })
}

/// Each table needs a connection, as they are read at once.
async fn open(pool: &Pool, transaction: &mut Transaction) -> Result<[Connection; 3], StoreError> {
    Ok([
        look_along(pool, transaction).await?,
        look_along(pool, transaction).await?,
        look_along(pool, transaction).await?,
    ])
}

async fn by_portions(
    tables: &mut [Connection; 3],
    transaction: &mut Transaction,
    over: Extent<'_>,
    batches: &[Batch],
    kinds: &Arc<Kinds>,
) -> Result<Findings, StoreError> {
    let mut findings = Findings::default();
    for portion in batches.chunks(FEW_BATCHES) {
        let ids: Vec<i64> = portion.iter().map(|batch| batch.id).collect();
        let found = read(tables, transaction, Extent::New(&ids), portion, kinds, usize::MAX).await?;
        findings.add(found.expect("no limit"));
    }
    if over == Extent::Full {
        findings.flaws.extend(store::ledger::orphans(transaction).await?.into_iter().map(orphan));
    }
    Ok(findings)
}

/// Reads three tables at once; nothing, if more than `max_held_rows` had to wait.
async fn read(
    [first, second, third]: &mut [Connection; 3],
    transaction: &mut Transaction,
    over: Extent<'_>,
    batches: &[Batch],
    kinds: &Arc<Kinds>,
    max_held_rows: usize,
) -> Result<Option<Findings>, StoreError> {
    let sum = |count: fn(&Batch) -> i32| batches.iter().map(|batch| f64::from(count(batch))).sum();
    let mut outcomes: Table<'_, ScannedOutcome> =
        Table::new(scan(first, over).await?, sum(|batch| batch.outcome_count));
    let mut transactions: Table<'_, ScannedTransaction> =
        Table::new(scan(second, over).await?, sum(|batch| batch.transaction_count));
    let mut lines: Table<'_, LineRecord> =
        Table::new(scan(third, over).await?, sum(|batch| batch.line_count));
    let mut assembly = Assembly::new(batches.iter().map(|batch| (batch.id, head(batch))));
    let mut audits = Audits::new(Arc::clone(kinds));
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
        if assembly.held_rows() > max_held_rows {
            return Ok(None);
        }
    }
    let Rest { lacking, without, flaws } = assembly.finish();
    for whole in lacking {
        audits.start(whole).await;
    }
    let mut findings = audits.finish().await;
    findings.flaws.extend(flaws);
    findings.move_by(&without);
    findings.flaws.extend(look_into(&without, transaction, batches).await?);
    Ok(Some(findings))
}

/// What is wrong with entries that found no transaction in the batches while they
/// were open.
async fn look_into(
    without: &[LineRecord],
    transaction: &mut Transaction,
    batches: &[Batch],
) -> Result<Vec<Flaw>, StoreError> {
    if without.is_empty() {
        return Ok(Vec::new());
    }
    let mut transactions: Vec<Uuid> = without.iter().map(|line| line.transaction).collect();
    transactions.sort_unstable();
    transactions.dedup();
    transactions.truncate(MAX_LOOKED_INTO);
    let batch_of = store::ledger::batches_of(transaction, &transactions).await?;
    let name_of = |id: i64| batches.iter().find(|batch| batch.id == id).map(|batch| head(batch).name);
    let flaw = |id: Uuid| match batch_of.get(&id) {
        Some(batch) => added(id, &name_of(*batch).unwrap_or_else(|| batch.to_string())),
        None => orphan(id),
    };
    Ok(transactions.into_iter().map(flaw).collect())
}

fn head(batch: &Batch) -> BatchHead {
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

/// Of accounts.
type Kinds = HashMap<Uuid, AccountKind, RandomState>;

/// Looks at batches, several at once.
struct Audits {
    kinds: Arc<Kinds>,
    running: JoinSet<Findings>,
    findings: Findings,
}

impl Audits {
    /// Whole batches are large: no more than these wait to be looked at.
    const AT_ONCE: usize = 8;

    fn new(kinds: Arc<Kinds>) -> Self {
        Self { kinds, running: JoinSet::new(), findings: Findings::default() }
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
