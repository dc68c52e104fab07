//! What was once worked out, found again. All threads read the same few entries with
//! each click, and a lock or a count of who reads would have them wait for each other's
//! writes: so nothing is written where something is found.

use std::borrow::Borrow;
use std::hash::{BuildHasher as _, Hash};
use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::{ArcSwap, Guard};
use foldhash::fast::RandomState;

/// Entries that are remembered; before another one, all are forgotten.
pub(crate) const MAX_REMEMBERED: usize = 50_000;
/// A power of two, so many more that an entry is found after a few looks.
const SLOTS: usize = 1 << 16;
/// Whoever finds so many others on their way forgets all, too.
const MAX_LOOKS: usize = 512;

/// Values by what they were worked out from.
pub(crate) struct Remembered<K, V> {
    table: ArcSwap<Table<K, V>>,
}

struct Table<K, V> {
    slots: Box<[Slot<K, V>]>,
    taken: AtomicUsize,
    hasher: RandomState,
}

type Slot<K, V> = OnceLock<Box<(K, V)>>;

/// A value that is remembered, or was.
pub(crate) struct Found<K, V> {
    table: Guard<Arc<Table<K, V>>>,
    at: usize,
}

impl<K, V> Deref for Found<K, V> {
    type Target = V;

    fn deref(&self) -> &V {
        &self.table.slots[self.at].get().expect("it was found there").1
    }
}

impl<K: Eq + Hash, V> Table<K, V> {
    fn new() -> Self {
        let slots = std::iter::repeat_with(Slot::new).take(SLOTS).collect();
        Self { slots, taken: AtomicUsize::new(0), hasher: RandomState::default() }
    }

    /// The slot of `key`, or the free one that it would have; whether it is there.
    fn slot<Q>(&self, key: &Q) -> Option<(usize, bool)>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let hash = self.hasher.hash_one(key) as usize;
        (0..MAX_LOOKS).map(|look| hash.wrapping_add(look) % SLOTS).find_map(|at| match self.slots[at].get() {
            None => Some((at, false)),
            Some(entry) => (entry.0.borrow() == key).then_some((at, true)),
        })
    }
}

impl<K: Eq + Hash, V> Default for Remembered<K, V> {
    fn default() -> Self {
        Self { table: ArcSwap::from_pointee(Table::new()) }
    }
}

impl<K: Eq + Hash, V> Remembered<K, V> {
    /// The value of `key`; if it is not known, as `work_out` says.
    pub(crate) fn get<Q>(&self, key: &Q, work_out: impl FnOnce() -> Option<V>) -> Option<Found<K, V>>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
    {
        let table = self.table.load();
        if let Some((at, true)) = table.slot(key) {
            return Some(Found { table, at });
        }
        drop(table);
        self.insert(key, work_out()?)
    }

    fn insert<Q>(&self, key: &Q, value: V) -> Option<Found<K, V>>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
    {
        let mut entry = Box::new((key.to_owned(), value));
        loop {
            let table = self.table.load();
            match table.slot(key) {
                // Somebody else has worked it out meanwhile.
                Some((at, true)) => return Some(Found { table, at }),
                Some((at, false)) if table.taken.fetch_add(1, Ordering::Relaxed) < MAX_REMEMBERED => {
                    match table.slots[at].set(entry) {
                        Ok(()) => return Some(Found { table, at }),
                        Err(not_first) => {
                            table.taken.fetch_sub(1, Ordering::Relaxed);
                            entry = not_first;
                        }
                    }
                }
                _ => self.table.store(Arc::new(Table::new())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl<K, V> Remembered<K, V> {
        pub(crate) fn len(&self) -> usize {
            self.table.load().slots.iter().filter(|slot| slot.get().is_some()).count()
        }
    }

    #[test]
    fn what_is_known_is_not_worked_out_again() {
        let lengths = Remembered::<String, usize>::default();
        for text in ["", "a", "some text", "other text"] {
            assert!(lengths.get(text, || None).is_none(), "what cannot be worked out is not remembered");
            assert_eq!(*lengths.get(text, || Some(text.len())).unwrap(), text.len());
            assert_eq!(*lengths.get(text, || panic!("it is known")).unwrap(), text.len());
        }
        assert_eq!(lengths.len(), 4);
    }

    #[test]
    fn no_more_are_remembered_than_may_be() {
        let squares = Remembered::<usize, usize>::default();
        let first = squares.get(&0, || Some(0)).unwrap();
        let square = |number| *squares.get(&number, || Some(number * number)).unwrap();
        let right = (0..MAX_REMEMBERED).all(|number| square(number) == number * number);
        assert!(right);
        assert_eq!(squares.len(), MAX_REMEMBERED);
        assert_eq!(square(MAX_REMEMBERED), MAX_REMEMBERED * MAX_REMEMBERED);
        assert_eq!(squares.len(), 1, "all were forgotten");
        assert_eq!(*first, 0, "who has one keeps it");
    }

    #[test]
    fn keys_of_one_place_fill_no_table() {
        /// Whose hash is always the same.
        #[derive(Clone, PartialEq, Eq)]
        struct Alike(usize);
        impl Hash for Alike {
            fn hash<H: std::hash::Hasher>(&self, _: &mut H) {}
        }
        let same = Remembered::<Alike, usize>::default();
        for number in 0..3 * MAX_LOOKS {
            assert_eq!(*same.get(&Alike(number), || Some(number)).unwrap(), number);
        }
        assert_eq!(same.len(), MAX_LOOKS, "they were forgotten twice");
    }

    #[test]
    fn threads_that_meet_agree() {
        let numbers = Remembered::<usize, usize>::default();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let numbers = &numbers;
                scope.spawn(move || {
                    for number in 0..MAX_REMEMBERED * 2 {
                        // Each begins elsewhere; they meet, and the table is begun anew.
                        let key = (number + thread * 999) % (MAX_REMEMBERED * 3 / 2);
                        assert_eq!(*numbers.get(&key, || Some(key * 7)).unwrap(), key * 7);
                    }
                });
            }
        });
        assert!((1..=MAX_REMEMBERED).contains(&numbers.len()));
    }
}
