//! Checks the books: every invariant that Postgres alone can answer, by a query
//! each, and what batches' own rows tell, the hash chain among it.
//!
//! | module | job |
//! |---|---|
//! | here | all verdicts, now and then or when asked for |
//! | [`pass`] | reads all that batches wrote, once |
//! | [`assembly`] | puts together what belongs to a batch |

mod assembly;
mod pass;

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use domain::audit::{Findings, Flaw, Flaws};
use domain::ledger::AccountKind;
use runtime::shutdown::CancellationToken;
use serde::Serialize;
use store::reconcile::{CHECKS, Extent, Offence, Part, new_batches};
use store::scan::ScannedAccount;
use store::{Connection, Pool, StoreError};
use uuid::Uuid;

use self::pass::Pass;

/// An invariant, checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Its number in `docs/INVARIANTS.md`.
    pub number: u8,
    /// What must hold.
    pub title: String,
    /// What breaks it; empty if it holds.
    pub offences: Vec<Offence>,
}

/// So many rows take about a gigabyte.
const MAX_HELD_ROWS: usize = 4_000_000;

/// Checks the books: all of them, or, of books that were checked before, what is
/// new. What was found right is not looked at again, until all is.
///
/// # Errors
/// When the database fails.
pub async fn check_books(pool: &Pool, is_full: bool) -> Result<Vec<Verdict>, StoreError> {
    check_books_holding(pool, is_full, MAX_HELD_ROWS).await
}

/// As [`check_books`], while no more than `max_held_rows` wait in memory for what
/// belongs to them; where the tables do not allow that, it takes longer.
///
/// # Errors
/// When the database fails.
pub async fn check_books_holding(
    pool: &Pool,
    is_full: bool,
    max_held_rows: usize,
) -> Result<Vec<Verdict>, StoreError> {
    // One snapshot for all checks: settlement goes on meanwhile.
    let mut transaction = store::begin_repeatable(pool).await?;
    let new = new_batches(&mut *transaction, Part::Books).await?;
    let over = if is_full { Extent::Full } else { Extent::New(&new) };
    let mut verdicts = match pass::run(pool, &mut transaction, over, max_held_rows).await {
        Ok(pass) => tell(pass, &mut transaction, over).await?,
        // What cannot be read is no reason to look at nothing else.
        Err(StoreError::Row { table, message }) => {
            vec![Verdict {
                offences: vec![Offence { id: table.to_owned(), detail: message }],
                ..verdict_of(HASHES, &Flaws::default())
            }]
        }
        Err(error) => return Err(error),
    };
    verdicts.extend(queries(&mut transaction, over).await?);
    verdicts.sort_by_key(|verdict| verdict.number);
    if verdicts.iter().all(|verdict| verdict.offences.is_empty())
        && let Err(error) = note(transaction, &new).await
    {
        // Another reconcile was at it; what this one found stands all the same.
        tracing::debug!(%error, "it is not noted what was found right");
    }
    Ok(verdicts)
}

/// Recomputes the hash of every batch from the rows it covers.
///
/// # Errors
/// When the database fails.
pub async fn verify_chain(pool: &Pool) -> Result<Vec<Offence>, StoreError> {
    let mut transaction = store::begin_snapshot(pool).await?;
    let pass = pass::run(pool, &mut transaction, Extent::Full, MAX_HELD_ROWS).await?;
    Ok(offences(pass.findings.flaws.of(HASHES.0)))
}

/// What a pass found, as verdicts.
async fn tell(
    pass: Pass,
    transaction: &mut store::Transaction,
    over: Extent<'_>,
) -> Result<Vec<Verdict>, StoreError> {
    let Pass { mut findings, accounts } = pass;
    let mut told = vec![
        (1, "every transaction balances, per currency"),
        HASHES,
        (9, "posted outcomes and campaign postings match one to one"),
        (17, "creator's part, fee and processor's part sum to the gross"),
    ];
    if over == Extent::Full {
        told.push((2, "every entry is of a transaction"));
        told.push((3, "every balance is the sum of its entries"));
        told.push((14, "budget spent is what was posted out of escrow"));
        let spent_minor = store::ledger::spent(transaction).await?;
        let flaws = sums_differ(&findings, &accounts, &spent_minor);
        findings.flaws.extend(flaws);
    }
    Ok(told.into_iter().map(|check| verdict_of(check, &findings.flaws)).collect())
}

/// The chain: number and title.
const HASHES: (u8, &str) = (6, "every batch's hash is right and links to the one before");

fn verdict_of((number, title): (u8, &str), flaws: &Flaws) -> Verdict {
    Verdict { number, title: title.to_owned(), offences: offences(flaws.of(number)) }
}

/// Where balances and budgets are not the sums that all batches came to.
fn sums_differ(
    findings: &Findings,
    accounts: &[ScannedAccount],
    spent_minor: &HashMap<Uuid, i64>,
) -> Vec<Flaw> {
    let sum = |sums: &HashMap<Uuid, i128>, account: Uuid| sums.get(&account).copied().unwrap_or_default();
    let mut flaws = Vec::new();
    let mut posted_minor: HashMap<Uuid, i128> = HashMap::new();
    for ScannedAccount { id, kind, owner, balance_minor } in accounts {
        let entries = sum(&findings.moved_minor, *id);
        if entries != i128::from(*balance_minor) {
            let detail = format!("{} balance {balance_minor}, entries sum to {entries}", kind.code());
            flaws.push(Flaw { invariant: 3, id: id.to_string(), detail });
        }
        if *kind == AccountKind::CampaignEscrow {
            *posted_minor.entry(*owner).or_default() += sum(&findings.spent_minor, *id);
        }
    }
    for (campaign, spent) in spent_minor {
        let posted = sum(&posted_minor, *campaign);
        if posted != i128::from(*spent) {
            let detail = format!("spent {spent}, posted out of escrow {posted}");
            flaws.push(Flaw { invariant: 14, id: campaign.to_string(), detail });
        }
    }
    flaws
}

fn offences(flaws: &[Flaw]) -> Vec<Offence> {
    flaws.iter().map(|flaw| Offence { id: flaw.id.clone(), detail: flaw.detail.clone() }).collect()
}

/// The checks that are a query each.
async fn queries(connection: &mut Connection, over: Extent<'_>) -> Result<Vec<Verdict>, StoreError> {
    let mut verdicts = Vec::new();
    for check in CHECKS.into_iter().filter(|check| check.is_run(over)) {
        let started = Instant::now();
        let offences = check.run(&mut *connection, over).await?;
        tracing::debug!(check = check.number, title = check.title, elapsed = ?started.elapsed(), "checked");
        verdicts.push(Verdict { number: check.number, title: check.title.to_owned(), offences });
    }
    Ok(verdicts)
}

async fn note(mut transaction: store::Transaction, batches: &[i64]) -> Result<(), StoreError> {
    store::reconcile::advance(&mut transaction, Part::Books, batches).await?;
    store::commit(transaction).await
}

/// Every so many rounds of [`run`] all of the books are checked.
const FULL_EVERY: u32 = 24;

/// Checks what is new in the books every `every`, and from time to time all of
/// them, until `stop` is cancelled, and says loudly what is wrong.
pub async fn run(pool: Pool, every: Duration, stop: CancellationToken) {
    for round in 1_u32.. {
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = stop.cancelled() => break,
        }
        match check_books(&pool, round.is_multiple_of(FULL_EVERY)).await {
            Ok(verdicts) => {
                report(&verdicts);
            }
            Err(error) => tracing::warn!(%error, "the books could not be checked"),
        }
    }
    tracing::info!("reconcile stopped");
}

fn report(verdicts: &[Verdict]) {
    let mut counts: BTreeMap<u8, usize> = BTreeMap::new();
    for Verdict { number, title, offences } in verdicts {
        *counts.entry(*number).or_default() += offences.len();
        for Offence { id, detail } in offences {
            tracing::error!(check = number, title, id, detail, "ALERT: the books are wrong");
        }
    }
    for (number, count) in counts {
        metrics::gauge!("tributary_reconcile_offences", "check" => number.to_string()).set(count as f64);
    }
}
