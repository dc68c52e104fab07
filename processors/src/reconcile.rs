//! Checks the books: every invariant that Postgres alone can answer, and the
//! hash chain.

use std::collections::BTreeMap;
use std::time::Duration;

use runtime::shutdown::CancellationToken;
use serde::Serialize;
use store::reconcile::{CHECKS, Extent, Offence, Part, new_batches};
use store::{Connection, Pool, StoreError};

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
    // One snapshot for all: settlement goes on meanwhile.
    let mut transaction = store::begin_repeatable(pool).await?;
    let new = new_batches(&mut *transaction, Part::Books).await?;
    let over = if is_full { Extent::Full } else { Extent::New(&new) };
    let mut verdicts = Vec::new();
    for check in CHECKS.into_iter().filter(|check| check.is_run(over)) {
        let offences = check.run(&mut *transaction, over).await?;
        verdicts.push(Verdict { number: check.number, title: check.title.to_owned(), offences });
    }
    verdicts.push(Verdict {
        number: 6,
        title: "every batch's hash is right and links to the one before".to_owned(),
        offences: verify_chain(&mut transaction, (!is_full).then_some(&new[..])).await?,
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

/// Recomputes the hash of every batch, or of `only` these, from the rows it
/// covers.
///
/// # Errors
/// When the database fails.
pub async fn verify_chain(
    connection: &mut Connection,
    only: Option<&[i64]>,
) -> Result<Vec<Offence>, StoreError> {
    let mut offences = Vec::new();
    for batch in store::batches::list(connection, only).await? {
        let mut records = store::batches::records(connection, Some(batch.id)).await?;
        let line_count = i32::try_from(records.lines.len()).unwrap_or(i32::MAX);
        let detail = if batch.previous_hash != batch.hash_before {
            "does not link to the batch before it"
        } else if batch.line_count != line_count {
            "its number of ledger lines has changed"
        } else if records.chained(&batch.hash_before) != batch.hash {
            "its rows have changed"
        } else {
            continue;
        };
        let id = format!("{}/{}@{}", batch.topic, batch.partition, batch.first_offset);
        offences.push(Offence { id, detail: detail.to_owned() });
    }
    Ok(offences)
}
