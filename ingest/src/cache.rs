//! Answers of the directory, remembered: one look-up at a time for a key,
//! however many wait for it; an old answer rather than none while the
//! directory is away; and a bound on what is remembered of keys that do not
//! exist, so that guessing them cannot fill the memory.

use std::borrow::Borrow;
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use dashmap::DashMap;

use crate::directory::DirectoryError;

/// An answer is asked for again after this, though nothing was heard.
const FRESH_FOR: Duration = Duration::from_secs(60);
/// While changes are not heard of.
const FRESH_FOR_DEAF: Duration = Duration::from_secs(2);
/// A directory that has not answered after this is away.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// After a look-up that failed, the next is tried after this.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Keys remembered before those that do not exist are forgotten.
const MAX_KEYS: usize = 200_000;

/// What the directory said of a key.
struct Known<V> {
    answer: Result<Option<V>, DirectoryError>,
    until: Instant,
    epoch: u64,
}

struct Slot<V> {
    known: ArcSwapOption<Known<V>>,
    looking_up: tokio::sync::Mutex<()>,
}

/// Remembers answers.
pub(crate) struct Cache<K: Eq + Hash, V> {
    slots: DashMap<K, Arc<Slot<V>>>,
    /// Answers of an earlier epoch are asked for again.
    epoch: AtomicU64,
    deaf: AtomicBool,
    max_keys: usize,
}

impl<K: Eq + Hash, V: Clone> Cache<K, V> {
    pub(crate) fn new() -> Self {
        // Until somebody says that changes are heard of.
        let deaf = AtomicBool::new(true);
        Self { slots: DashMap::new(), epoch: AtomicU64::new(0), deaf, max_keys: MAX_KEYS }
    }

    /// The answer for `key`, by `look_up` if it is not known.
    pub(crate) async fn get<Q, F>(
        &self,
        key: &Q,
        look_up: impl FnOnce() -> F,
    ) -> Result<Option<V>, DirectoryError>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
        F: Future<Output = Result<Option<V>, DirectoryError>>,
    {
        if let Some(answer) = self.slots.get(key).and_then(|slot| self.fresh(&slot)) {
            return answer;
        }
        // Aside: an answer that is known needs no room for it.
        Box::pin(self.ask(key, look_up)).await
    }

    async fn ask<Q, F>(&self, key: &Q, look_up: impl FnOnce() -> F) -> Result<Option<V>, DirectoryError>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
        F: Future<Output = Result<Option<V>, DirectoryError>>,
    {
        let slot = self.slot(key);
        let _one_at_a_time = slot.looking_up.lock().await;
        if let Some(answer) = self.fresh(&slot) {
            return answer;
        }
        // Read before asking: what changes meanwhile makes the answer old.
        let epoch = self.epoch.load(Ordering::Acquire);
        let asked = tokio::time::timeout(ANSWER_WITHIN, look_up()).await.unwrap_or_else(|_late| {
            Err(DirectoryError(format!("the directory does not answer within {ANSWER_WITHIN:?}")))
        });
        let fresh_for = if self.deaf.load(Ordering::Acquire) { FRESH_FOR_DEAF } else { FRESH_FOR };
        let (answer, fresh_for) = match (asked, slot.known.load().as_ref().map(|known| known.answer.clone()))
        {
            (Ok(answer), _) => (Ok(answer), fresh_for),
            // An old yes is better than none; an old no is not.
            (Err(error), Some(Ok(Some(old)))) => {
                tracing::warn!(%error, "the directory is away; using what is known");
                (Ok(Some(old)), RETRY_AFTER)
            }
            (Err(error), _) => (Err(error), RETRY_AFTER),
        };
        let known = Known { answer: answer.clone(), until: Instant::now() + fresh_for, epoch };
        slot.known.store(Some(Arc::new(known)));
        answer
    }

    fn slot<Q>(&self, key: &Q) -> Arc<Slot<V>>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
    {
        if let Some(slot) = self.slots.get(key) {
            return Arc::clone(&slot);
        }
        if self.slots.len() >= self.max_keys {
            self.slots.retain(|_, slot| {
                let known = slot.known.load();
                known.as_ref().is_some_and(|known| matches!(known.answer, Ok(Some(_))))
            });
        }
        let new =
            || Arc::new(Slot { known: ArcSwapOption::empty(), looking_up: tokio::sync::Mutex::default() });
        Arc::clone(&self.slots.entry(key.to_owned()).or_insert_with(new))
    }

    fn fresh(&self, slot: &Slot<V>) -> Option<Result<Option<V>, DirectoryError>> {
        let known = slot.known.load();
        let known = known.as_ref()?;
        // A failure is remembered for a moment whatever has changed.
        let current = known.answer.is_err() || known.epoch == self.epoch.load(Ordering::Acquire);
        (current && Instant::now() < known.until).then(|| known.answer.clone())
    }

    /// Forgets a key. An answer that is on its way goes nowhere.
    pub(crate) fn forget(&self, key: &K) {
        self.slots.remove(key);
    }

    /// Asks for every key again, when it is next needed.
    pub(crate) fn doubt_all(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }

    /// Says whether changes are heard of.
    pub(crate) fn set_deaf(&self, deaf: bool) {
        self.deaf.store(deaf, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    type Answer = Result<Option<u32>, DirectoryError>;

    fn away() -> Answer {
        Err(DirectoryError("away".to_owned()))
    }

    async fn get(cache: &Cache<u32, u32>, answer: Answer, asked: &AtomicUsize) -> Option<u32> {
        let look_up = || async {
            asked.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(20)).await;
            answer
        };
        cache.get(&1, look_up).await.unwrap_or(None)
    }

    #[tokio::test]
    async fn a_hot_unknown_key_is_looked_up_once() {
        let (cache, asked) = (Cache::new(), AtomicUsize::new(0));
        let all = (0..100).map(|_| get(&cache, Ok(None), &asked));
        assert!(futures_util::future::join_all(all).await.iter().all(Option::is_none));
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_failing_directory_is_asked_once_a_second() {
        let (cache, asked) = (Cache::new(), AtomicUsize::new(0));
        let all = (0..100).map(|_| get(&cache, away(), &asked));
        futures_util::future::join_all(all).await;
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn what_is_known_goes_on_while_the_directory_is_away() {
        let (cache, asked) = (Cache::new(), AtomicUsize::new(0));
        assert_eq!(get(&cache, Ok(Some(7)), &asked).await, Some(7));
        cache.doubt_all();
        assert_eq!(get(&cache, away(), &asked).await, Some(7));
        assert_eq!(asked.load(Ordering::Relaxed), 2);
        // Not even asked again, for a moment, though it is doubted; then yes.
        cache.forget(&1);
        assert_eq!(get(&cache, Ok(Some(8)), &asked).await, Some(8));
        assert_eq!(get(&cache, Ok(Some(9)), &asked).await, Some(8));
        assert_eq!(asked.load(Ordering::Relaxed), 3);
    }

    #[tokio::test]
    async fn what_is_known_goes_on_while_the_directory_stands_still() {
        let cache: Cache<u32, u32> = Cache::new();
        cache.get(&1, || async { Ok(Some(7)) }).await.unwrap();
        cache.doubt_all();
        let started = Instant::now();
        let known = futures_util::future::join_all((0..100).map(|_| cache.get(&1, std::future::pending)));
        let (known, unknown) = tokio::join!(known, cache.get(&2, std::future::pending));
        assert!(known.iter().all(|answer| matches!(answer, Ok(Some(7)))));
        assert!(unknown.is_err());
        assert!(started.elapsed() < 2 * ANSWER_WITHIN);
    }

    #[tokio::test]
    async fn an_answer_from_before_a_change_is_not_kept() {
        let (cache, asked) = (Cache::new(), AtomicUsize::new(0));
        let change = async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            cache.doubt_all();
        };
        let (old, ()) = tokio::join!(get(&cache, Ok(Some(1)), &asked), change);
        assert_eq!(old, Some(1));
        assert_eq!(get(&cache, Ok(Some(2)), &asked).await, Some(2));
    }

    #[tokio::test]
    async fn guessing_does_not_fill_the_memory() {
        let cache: Cache<u32, u32> = Cache { max_keys: 100, ..Cache::new() };
        for key in 0..1_000 {
            let exists = key % 20 == 0;
            cache.get(&key, || async { Ok(exists.then_some(key)) }).await.unwrap();
            assert!(cache.slots.len() <= 150, "{}", cache.slots.len());
        }
        assert_eq!(cache.slots.iter().filter(|slot| slot.key() % 20 == 0).count(), 50);
    }
}
