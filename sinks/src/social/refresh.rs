//! Fetches the figures of accounts that are due.
//!
//! Who is due is said in Postgres, and taken there for a while, so that of several
//! refreshers one asks, and an account whose refresher was cut off is asked again.

use std::time::Duration;

use domain::social::{FetchError, Platform};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use runtime::clock::now_ms;
use runtime::retry::Backoff;
use runtime::shutdown::CancellationToken;
use store::social::{DueAccount, Reading};
use store::{Pool, StoreError};

use super::fetch::Fetcher;
use super::{instagram, youtube};

/// How often it is looked who is due.
const EVERY: Duration = Duration::from_secs(5);
/// So many accounts are fetched side by side.
const AT_ONCE: i64 = 8;
/// All that is asked about one account takes no longer.
const FETCH_WITHIN: Duration = Duration::from_secs(60);
/// An account that was taken is nobody else's for so long; fetching one takes less.
const LEASE_MS: i64 = 5 * 60 * 1_000;

/// Runs until `stop` is cancelled. What is under way then is done again, once its lease
/// is over.
pub async fn run(fetcher: Fetcher, pool: Pool, stop: CancellationToken) {
    let mut backoff = Backoff::default();
    while !stop.is_cancelled() {
        let refreshed = tokio::select! {
            refreshed = refresh_due(&fetcher, &pool) => refreshed,
            () = stop.cancelled() => break,
        };
        let wait = match refreshed {
            Ok(fetched) => {
                backoff.reset();
                if fetched == AT_ONCE.unsigned_abs() { Duration::ZERO } else { EVERY }
            }
            Err(error) => {
                tracing::warn!(%error, "social accounts cannot be refreshed; trying again");
                backoff.next_wait()
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stop.cancelled() => {}
        }
    }
    tracing::info!("refreshing of social accounts stopped");
}

/// Fetches some of the accounts that are due; says how many it tried.
///
/// # Errors
/// When the database fails. What a platform says is kept with its account.
pub async fn refresh_due(fetcher: &Fetcher, pool: &Pool) -> Result<u64, StoreError> {
    let due = store::social::claim_due(pool, AT_ONCE, LEASE_MS).await?;
    let mut fetches: FuturesUnordered<_> =
        due.iter().map(|account| async move { (account, fetch_in_time(fetcher, account).await) }).collect();
    let mut kept = Ok(());
    while let Some((account, came_to)) = fetches.next().await {
        let result = match &came_to {
            Ok(_) => "ok",
            Err(error) => {
                tracing::warn!(account = %account.id, platform = account.platform.code(), %error,
                    "a social account cannot be fetched");
                error.code()
            }
        };
        metrics::counter!("tributary_social_fetches_total",
            "platform" => account.platform.code(), "result" => result)
        .increment(1);
        // One that cannot be kept is no reason to lose the others.
        kept = kept.and(store::social::fetched(pool, account, came_to.as_deref(), now_ms()).await);
    }
    kept.map(|()| due.len() as u64)
}

async fn fetch_in_time(fetcher: &Fetcher, account: &DueAccount) -> Result<Vec<Reading>, FetchError> {
    let late = |_| FetchError::Unreachable(format!("not all of it within {} s", FETCH_WITHIN.as_secs()));
    tokio::time::timeout(FETCH_WITHIN, fetch(fetcher, account)).await.map_err(late)?
}

async fn fetch(fetcher: &Fetcher, account: &DueAccount) -> Result<Vec<Reading>, FetchError> {
    let token = fetcher.token(account, now_ms())?;
    match account.platform {
        Platform::Youtube => youtube::fetch(fetcher, account, token.as_deref()).await,
        Platform::Instagram => instagram::fetch(fetcher, account, token.as_deref()).await,
        // They are never due.
        other => Err(FetchError::Refused(format!("nothing, for {} is not fetched", other.code()))),
    }
}
