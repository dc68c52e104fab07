//! Checks the books: every invariant that Postgres alone can answer, and the
//! hash chain.

mod chain;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use runtime::shutdown::CancellationToken;
use serde::Serialize;
use store::reconcile::{CHECKS, Extent, Offence, Part, new_batches};
use store::{Connection, Pool, StoreError};

pub use self::chain::verify_chain;

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

/// Checks the books: all of them, or, of books that were checked before, what is
/// new. What was found right is not looked at again, until all is.
///
/// # Errors
/// When the database fails.
pub async fn check_books(pool: &Pool, is_full: bool) -> Result<Vec<Verdict>, StoreError> {
    // One snapshot for all checks: settlement goes on meanwhile.
    let mut transaction = store::begin_repeatable(pool).await?;
    let new = new_batches(&mut *transaction, Part::Books).await?;
    let (over, only) = if is_full { (Extent::Full, None) } else { (Extent::New(&new), Some(&new[..])) };
    let (mut verdicts, broken) = if pool.options().get_max_connections() > 1 {
        // What is chained does not change, so the chain needs no snapshot.
        let mut chain = store::begin(pool).await?;
        tokio::try_join!(queries(&mut transaction, over), verify_chain(&mut chain, only))?
    } else {
        let verdicts = queries(&mut transaction, over).await?;
        (verdicts, verify_chain(&mut transaction, only).await?)
    };
    verdicts.push(Verdict {
        number: 6,
        title: "every batch's hash is right and links to the one before".to_owned(),
        offences: broken,
    });
    verdicts.sort_by_key(|verdict| verdict.number);
    if verdicts.iter().all(|verdict| verdict.offences.is_empty())
        && let Err(error) = note(transaction, &new).await
    {
        // Another reconcile was at it; what this one found stands all the same.
        tracing::debug!(%error, "it is not noted what was found right");
    }
    Ok(verdicts)
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
