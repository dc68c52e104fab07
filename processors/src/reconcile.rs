//! Checks the books: every invariant that Postgres alone can answer, and the
//! hash chain.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::chain::GENESIS;
use runtime::shutdown::CancellationToken;
use serde::Serialize;
use store::reconcile::{CHECKS, Offence};
use store::{Pool, StoreError};

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

/// Checks all of them.
///
/// # Errors
/// When the database fails.
pub async fn check_books(pool: &Pool) -> Result<Vec<Verdict>, StoreError> {
    let mut verdicts = Vec::new();
    for check in CHECKS {
        let offences = check.run(pool).await?;
        verdicts.push(Verdict { number: check.number, title: check.title.to_owned(), offences });
    }
    verdicts.push(Verdict {
        number: 6,
        title: "every batch's hash is right and links to the one before".to_owned(),
        offences: verify_chain(pool).await?,
    });
    verdicts.sort_by_key(|verdict| verdict.number);
    Ok(verdicts)
}

/// Checks the books every `every` until `stop` is cancelled, and says loudly what
/// is wrong. The chain, which takes as long as the books are old, is left to
/// [`check_books`].
pub async fn run(pool: Pool, every: Duration, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = stop.cancelled() => break,
        }
        for check in CHECKS {
            match check.run(&pool).await {
                Ok(offences) => report(check.number, check.title, &offences),
                Err(error) => tracing::warn!(check = check.number, %error, "the books could not be checked"),
            }
        }
    }
    tracing::info!("reconcile stopped");
}

fn report(number: u8, title: &str, offences: &[Offence]) {
    metrics::gauge!("tributary_reconcile_offences", "check" => number.to_string()).set(offences.len() as f64);
    for Offence { id, detail } in offences {
        tracing::error!(check = number, title, id, detail, "ALERT: the books are wrong");
    }
}

/// Recomputes the hash of every batch from the rows it covers.
///
/// # Errors
/// When the database fails.
pub async fn verify_chain(pool: &Pool) -> Result<Vec<Offence>, StoreError> {
    let mut offences = Vec::new();
    let mut heads = BTreeMap::new();
    for batch in store::batches::list(pool).await? {
        let partition = (batch.topic.clone(), batch.partition);
        let previous = heads.insert(partition, batch.hash).unwrap_or(GENESIS);
        let records = store::batches::records(pool, Some(batch.id)).await?;
        let line_count = i32::try_from(records.lines.len()).unwrap_or(i32::MAX);
        let detail = if batch.previous_hash != previous {
            "does not link to the batch before it"
        } else if batch.line_count != line_count {
            "its number of ledger lines has changed"
        } else if records.chained(&previous) != batch.hash {
            "its rows have changed"
        } else {
            continue;
        };
        let id = format!("{}/{}@{}", batch.topic, batch.partition, batch.first_offset);
        offences.push(Offence { id, detail: detail.to_owned() });
    }
    Ok(offences)
}
