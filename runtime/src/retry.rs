//! Work that is done again and again, with longer waits after each failure.

use std::fmt::Display;
use std::time::Duration;

use crate::shutdown::CancellationToken;

/// Doubling waits between two bounds.
#[derive(Clone, Debug)]
pub struct Backoff {
    next: Duration,
    first: Duration,
    longest: Duration,
}

impl Backoff {
    /// Waits from `first` up to `longest`.
    #[must_use]
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self { next: first, first, longest }
    }

    /// How long to wait now.
    pub fn next_wait(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(self.longest);
        wait
    }

    /// Begins anew after a success.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

impl Default for Backoff {
    /// From 100 ms to 5 s.
    fn default() -> Self {
        Self::new(Duration::from_millis(100), Duration::from_secs(5))
    }
}

/// Does `work` until `stop` is cancelled: again at once as long as it says that it did
/// something, else after `every`. Failures are passing troubles, and waited out; work that
/// has begun is done to its end.
pub async fn repeat<W, F, E>(what: &str, every: Duration, stop: &CancellationToken, mut work: W)
where
    W: FnMut() -> F,
    F: Future<Output = Result<usize, E>>,
    E: Display,
{
    let mut backoff = Backoff::default();
    while !stop.is_cancelled() {
        let wait = match work().await {
            Ok(done) => {
                backoff.reset();
                if done > 0 { Duration::ZERO } else { every }
            }
            Err(error) => {
                tracing::warn!(%error, "{what} failed; trying again");
                backoff.next_wait()
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stop.cancelled() => {}
        }
    }
    tracing::info!("{what} stopped");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(3));
        let waits: Vec<u64> = (0..4).map(|_| backoff.next_wait().as_secs()).collect();
        assert_eq!(waits, [1, 2, 3, 3]);
        backoff.reset();
        assert_eq!(backoff.next_wait().as_secs(), 1);
    }

    #[tokio::test]
    async fn work_goes_on_until_it_is_stopped() {
        let stop = CancellationToken::new();
        let (mut left, long) = (vec![Err("no"), Ok(3), Ok(1), Err("no"), Ok(1)], Duration::from_secs(60));
        repeat("work", long, &stop, || {
            let answer = left.pop().unwrap_or(Ok(0));
            if left.is_empty() {
                stop.cancel();
            }
            async move { answer }
        })
        .await;
        assert!(left.is_empty(), "none waited for a minute");
    }
}
