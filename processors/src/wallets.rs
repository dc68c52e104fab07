//! Releases creators' earnings when their hold has ended: one posting a bucket.
//! Safe to run twice and on two machines: one at a time has the turn in the
//! journal, and finds what the other left.

use std::collections::HashMap;
use std::time::Duration;

use domain::ledger::postings::{Source, WalletKey};
use domain::ledger::{PostingError, Transaction};
use domain::wallet::{Wallet, release};
use runtime::retry::repeat;
use runtime::shutdown::CancellationToken;
use store::wallets::Bucket;
use store::{Pool, StoreError};
use uuid::Uuid;

/// Buckets in one transaction.
const CHUNK: i64 = 2_000;

/// Releases what is due, every `every`, until `stop` is cancelled.
pub async fn run(pool: Pool, every: Duration, stop: CancellationToken) {
    let pool = &pool;
    repeat("releasing of earnings", every, &stop, move || async move {
        let count = release_due(pool, runtime::clock::now_ms()).await?;
        metrics::counter!("tributary_wallets_released_total").increment(count);
        Ok::<_, StoreError>(0)
    })
    .await;
}

/// Releases everything whose hold has ended by `now_ms`; gives how many buckets
/// that were.
///
/// # Errors
/// When the database fails.
pub async fn release_due(pool: &Pool, now_ms: i64) -> Result<u64, StoreError> {
    let mut released = 0;
    loop {
        let count = release_some(pool, now_ms).await?;
        if count == 0 {
            return Ok(released);
        }
        released += count;
    }
}

async fn release_some(pool: &Pool, now_ms: i64) -> Result<u64, StoreError> {
    let mut transaction = store::begin(pool).await?;
    // Nothing due is the rule: no turn is taken for it.
    if store::wallets::due(&mut transaction, now_ms, 1).await?.is_empty() {
        return Ok(0);
    }
    let turn = store::journal::begin(&mut transaction).await?;
    let keys = store::wallets::due(&mut transaction, now_ms, CHUNK).await?;
    store::wallets::lock(&mut transaction, &keys).await?;
    let buckets = store::wallets::lock_due(&mut transaction, now_ms, &keys).await?;
    let mut wallets = store::wallets::read(&mut transaction, &keys).await?;
    let (closed, postings) = plan(&buckets, &mut wallets, now_ms)
        .map_err(|error| StoreError::Row { table: "wallet_buckets", message: error.to_string() })?;
    store::journal::write(&mut transaction, turn, &postings).await?;
    store::wallets::close(&mut transaction, now_ms, &closed).await?;
    store::commit(transaction).await?;
    Ok(closed.len() as u64)
}

/// A bucket, and the transaction that releases it, if it holds anything.
type Closed = (Uuid, Option<Uuid>);

/// What releases `buckets`. Debts are covered first.
fn plan(
    buckets: &[Bucket],
    wallets: &mut HashMap<WalletKey, Wallet>,
    now_ms: i64,
) -> Result<(Vec<Closed>, Vec<Transaction>), PostingError> {
    let (mut closed, mut postings) = (Vec::new(), Vec::new());
    for bucket in buckets {
        if bucket.amount_minor == 0 {
            closed.push((bucket.id, None));
            continue;
        }
        let wallet = wallets.entry(bucket.wallet).or_default();
        let source = Source { id: bucket.id, leg: 0, at_ms: now_ms };
        let posting = release(bucket.amount_minor, wallet.debt_minor, bucket.wallet, source)?;
        wallet.debt_minor = wallet.debt_minor.saturating_sub(bucket.amount_minor).max(0);
        closed.push((bucket.id, Some(posting.id().0)));
        postings.push(posting);
    }
    Ok((closed, postings))
}

#[cfg(test)]
mod tests {
    use domain::ids::{UserId, WorkspaceId};
    use domain::ledger::AccountKind;
    use domain::money::Currency;

    use super::*;

    #[test]
    fn debts_are_covered_by_the_first_buckets() {
        let wallet = WalletKey {
            workspace: WorkspaceId(Uuid::from_u128(1)),
            creator: UserId(Uuid::from_u128(7)),
            currency: Currency::new("USD").unwrap(),
        };
        let bucket = |number, amount_minor| Bucket {
            id: Uuid::from_u128(number),
            wallet,
            held_until_ms: 9,
            amount_minor,
        };
        let owing = Wallet { debt_minor: 15, ..Wallet::default() };
        let mut wallets = HashMap::from([(wallet, owing)]);
        let buckets = [bucket(1, 10), bucket(2, 0), bucket(3, 10), bucket(4, 10)];
        let (closed, postings) = plan(&buckets, &mut wallets, 10).unwrap();
        let freed = |posting: &Transaction| {
            let available = posting.lines().iter().find(|l| l.account.kind == AccountKind::CreatorAvailable);
            available.map_or(0, |line| line.amount_minor)
        };
        assert_eq!(postings.iter().map(freed).collect::<Vec<_>>(), [0, 5, 10]);
        let released: Vec<bool> = closed.iter().map(|(_, transaction)| transaction.is_some()).collect();
        assert_eq!(released, [true, false, true, true]);
    }
}
