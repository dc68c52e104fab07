//! Visitors of late, in memory, as they were committed. All partitions share
//! one bound; each opening of a partition has visitors of its own, since what
//! changed in it while it was elsewhere must not be missed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use domain::ids::VisitorKey;
use fjall::Slice;
use foldhash::fast::RandomState;
use quick_cache::Weighter;
use quick_cache::sync::{Cache, DefaultLifecycle};

type Kept = Cache<(u64, VisitorKey), Slice, Bytes, RandomState>;

/// The visitors of all partitions.
pub(super) struct Recent {
    kept: Arc<Kept>,
    /// How often a partition was opened.
    openings: AtomicU64,
}

/// The visitors of a partition that is open.
#[derive(Clone)]
pub(super) struct RecentVisitors {
    kept: Arc<Kept>,
    opening: u64,
}

/// What a visitor takes.
#[derive(Clone)]
struct Bytes;

impl Bytes {
    /// The key, the count of references, the place in the cache, and what
    /// allocations are rounded up to.
    const BESIDES: usize = 112;
    /// A visitor's with a click or two.
    const TYPICAL: usize = Self::BESIDES + 120;
}

impl Weighter<(u64, VisitorKey), Slice> for Bytes {
    fn weight(&self, _key: &(u64, VisitorKey), state: &Slice) -> u64 {
        (Self::BESIDES + state.len()) as u64
    }
}

impl Recent {
    /// Takes about `bytes` of memory when it is full.
    pub(super) fn new(bytes: usize) -> Self {
        let (hasher, lifecycle) = (RandomState::default(), DefaultLifecycle::default());
        let kept = Cache::with(bytes / Bytes::TYPICAL, bytes as u64, Bytes, hasher, lifecycle);
        Self { kept: Arc::new(kept), openings: AtomicU64::new(0) }
    }

    /// Those of a partition that is opened now: none yet.
    pub(super) fn opened(&self) -> RecentVisitors {
        let opening = self.openings.fetch_add(1, Ordering::Relaxed);
        RecentVisitors { kept: Arc::clone(&self.kept), opening }
    }
}

impl RecentVisitors {
    /// A visitor's state, if it is here.
    pub(super) fn get(&self, key: VisitorKey) -> Option<Slice> {
        self.kept.get(&(self.opening, key))
    }

    /// What was committed of a visitor; nothing, if nothing is left to remember.
    pub(super) fn set(&self, key: VisitorKey, state: Option<Slice>) {
        let key = (self.opening, key);
        match state {
            Some(state) => self.kept.insert(key, state),
            None => drop(self.kept.remove(&key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u32) -> VisitorKey {
        VisitorKey(u128::from(number).to_le_bytes())
    }

    #[test]
    fn each_opening_has_its_own() {
        let recent = Recent::new(1 << 20);
        let (first, second) = (recent.opened(), recent.opened());
        first.set(key(1), Some(Slice::from(b"first")));
        assert_eq!((first.get(key(1)), second.get(key(1))), (Some(Slice::from(b"first")), None));
        first.set(key(1), None);
        assert_eq!(first.get(key(1)), None);
    }

    #[test]
    fn all_of_them_have_one_bound() {
        let recent = Recent::new(1 << 20);
        let all = [recent.opened(), recent.opened()];
        for number in 0..100_000 {
            for visitors in &all {
                visitors.set(key(number), Some(Slice::from(&[0; 120])));
            }
        }
        let kept =
            (0..100_000).flat_map(|number| all.iter().filter_map(move |visitors| visitors.get(key(number))));
        let count = kept.count();
        assert!((1_000..=(1 << 20) / 232).contains(&count), "{count} are kept");
    }
}
