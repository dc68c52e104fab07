//! Connections whose turn it is, and who take too long: they are looked through
//! now and then. A timer of their own, set anew with each request, would be a
//! fair part of what a click takes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::MissedTickBehavior;

/// Looks in the time that a client may take, at least,
const LOOKS: u32 = 8;
/// and no longer than this from one to the next: only then it is noticed that a
/// connection has ended.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// What [`Turn::since`] is while the turn is ours,
const OURS: u64 = u64::MAX;
/// and when the connection is cut off.
const CUT: u64 = u64::MAX - 1;

/// Whose turn it is on a connection.
pub(super) struct Turn {
    /// The look since which it is the client's.
    since: AtomicU64,
    looks: Arc<AtomicU64>,
}

/// The turn is ours until this is dropped.
pub(super) struct Ours<'a>(&'a Turn);

impl Turn {
    /// From now on it is ours: a request's head is there. `None` if that comes too
    /// late: the connection is being cut off.
    pub(super) fn ours(&self) -> Option<Ours<'_>> {
        (self.since.swap(OURS, Ordering::Relaxed) != CUT).then(|| Ours(self))
    }

    /// Ends the client's turn for good if it has been theirs for more than so many
    /// looks; whether it has.
    fn cut(&self, look: u64, allowed: u64) -> bool {
        let since = self.since.load(Ordering::Relaxed);
        let is_over = look.checked_sub(since).is_some_and(|looks| looks > allowed);
        is_over && self.since.compare_exchange(since, CUT, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

impl Drop for Ours<'_> {
    fn drop(&mut self) {
        self.0.since.store(self.0.looks.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

/// All connections.
pub(super) struct Dawdlers {
    every: Duration,
    /// Looks that a client's turn may last; one more, since the first may come at
    /// once.
    allowed: u64,
    looks: Arc<AtomicU64>,
    connections: Mutex<Vec<(Arc<Turn>, AbortHandle)>>,
}

impl Dawdlers {
    /// Clients may take `within` to send a request's head.
    pub(super) fn new(within: Duration) -> Self {
        // Not without pause, whatever is asked for.
        let every = (within / LOOKS).clamp(Duration::from_millis(1), LOOK_EVERY);
        let allowed = u64::try_from(within.as_nanos().div_ceil(every.as_nanos())).unwrap_or(u64::MAX);
        Self { every, allowed, looks: Arc::default(), connections: Mutex::default() }
    }

    /// The client's turn, from now on.
    pub(super) fn turn(&self) -> Arc<Turn> {
        let looks = Arc::clone(&self.looks);
        Arc::new(Turn { since: AtomicU64::new(looks.load(Ordering::Relaxed)), looks })
    }

    /// Watches a connection, which is ended by aborting its task.
    pub(super) fn add(&self, turn: Arc<Turn>, task: AbortHandle) {
        self.connections.lock().expect("no panic while held").push((turn, task));
    }

    /// Cuts dawdlers off, for ever.
    pub(super) async fn watch(&self) {
        let mut every = tokio::time::interval(self.every);
        // Where nobody had time to look, nobody had time to read either.
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            self.look();
        }
    }

    fn look(&self) {
        let look = self.looks.fetch_add(1, Ordering::Relaxed) + 1;
        self.connections.lock().expect("no panic while held").retain(|(turn, task)| {
            if turn.cut(look, self.allowed) {
                tracing::debug!("a connection is cut off: no request came in time");
                task.abort();
                return false;
            }
            !task.is_finished()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_takes_too_long_is_cut_off() {
        let dawdlers = Dawdlers::new(Duration::from_secs(4));
        let connect = || {
            let (turn, task) = (dawdlers.turn(), tokio::spawn(std::future::pending::<()>()));
            dawdlers.add(Arc::clone(&turn), task.abort_handle());
            (turn, task)
        };
        let (silent, busy, asking) = (connect(), connect(), connect());
        let ours = busy.0.ours().unwrap();
        let is_cut = async |task: &tokio::task::JoinHandle<()>| {
            tokio::task::yield_now().await;
            task.is_finished()
        };
        for _ in 0..dawdlers.allowed {
            dawdlers.look();
        }
        drop(asking.0.ours().unwrap());
        assert!(!is_cut(&silent.1).await, "the whole time is given");
        dawdlers.look();
        assert!(silent.0.ours().is_none(), "what comes now is not begun");
        assert!(is_cut(&silent.1).await && !is_cut(&busy.1).await && !is_cut(&asking.1).await);
        for _ in 0..dawdlers.allowed {
            dawdlers.look();
        }
        assert!(is_cut(&asking.1).await, "it had its turn anew, and no longer");
        assert!(!is_cut(&busy.1).await, "we may take as long as we need");
        drop(ours);
        for _ in 0..=dawdlers.allowed {
            dawdlers.look();
        }
        assert!(is_cut(&busy.1).await);
        assert!(dawdlers.connections.lock().unwrap().is_empty());
    }

    #[test]
    fn looks_are_neither_rare_nor_without_pause() {
        for (within_ms, every_ms, allowed) in [(500, 62.5, 8), (30_000, 1_000.0, 30), (0, 1.0, 0)] {
            let dawdlers = Dawdlers::new(Duration::from_millis(within_ms));
            assert_eq!((dawdlers.every.as_secs_f64() * 1e3, dawdlers.allowed), (every_ms, allowed));
        }
    }
}
