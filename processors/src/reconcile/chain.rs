//! The hash chain: recomputed from the rows that each batch wrote.

use domain::chain::Records;
use store::batches::Batch;
use store::reconcile::Offence;
use store::{Connection, StoreError};
use tokio::task::JoinHandle;

/// Recomputes the hash of every batch, or of `only` these, from the rows it
/// covers; the next batch is read meanwhile.
///
/// # Errors
/// When the database fails.
pub async fn verify_chain(
    connection: &mut Connection,
    only: Option<&[i64]>,
) -> Result<Vec<Offence>, StoreError> {
    let mut offences = Vec::new();
    let mut hashing: Option<JoinHandle<Option<Offence>>> = None;
    for batch in store::batches::list(connection, only).await? {
        let records = store::batches::records(connection, batch.id).await?;
        let next = tokio::task::spawn_blocking(move || offence_of(&batch, records));
        if let Some(hashed) = hashing.replace(next) {
            offences.extend(hashed.await.expect("no panic"));
        }
    }
    if let Some(hashed) = hashing {
        offences.extend(hashed.await.expect("no panic"));
    }
    Ok(offences)
}

fn offence_of(batch: &Batch, mut records: Records) -> Option<Offence> {
    let line_count = i32::try_from(records.lines.len()).unwrap_or(i32::MAX);
    let detail = if batch.previous_hash != batch.hash_before {
        "does not link to the batch before it"
    } else if batch.line_count != line_count {
        "its number of ledger lines has changed"
    } else if records.chained(&batch.hash_before) != batch.hash {
        "its rows have changed"
    } else {
        return None;
    };
    let id = format!("{}/{}@{}", batch.topic, batch.partition, batch.first_offset);
    Some(Offence { id, detail: detail.to_owned() })
}
