//! What attribution remembers, on local disk, by partition. Changes, position
//! and clock go into one write, so the state always stands at an exact place of
//! its partition.
//!
//! | keyspace | key | value |
//! |---|---|---|
//! | `visitors` | visitor or user key | clicks, parked actions, identities |
//! | `seen-<generation>` | event id | payload hash; dropped as a whole when old |
//! | `waits` | end of a wait, visitor key | - |
//! | `rates` | link, network | clicks in a minute |
//! | `meta` | `layout`, `place` | the layout's version; next offset and clock |

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::attribution::Place;
use domain::attribution::memory::{Changes, Due, Memory, Note, Rate, RateKey, VisitorState};
use domain::ids::VisitorKey;
use fjall::config::{PartitioningPolicy, PinningPolicy};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Slice};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::recent::{Recent, RecentVisitors};
use crate::ProcessorError;

/// Changes when the form of keys or values does, or what a keyspace is made with,
/// which it keeps; another layout's state is built anew.
const LAYOUT: &[u8] = b"5";
const LAYOUT_KEY: &[u8] = b"layout";
const PLACE_KEY: &[u8] = b"place";
const KEYSPACES: [&str; 4] = ["meta", "visitors", "waits", "rates"];

/// With one, a merge of files that takes long would keep waiting what has to be
/// written to files meanwhile.
const WORKERS: usize = 2;

/// The store of one processor.
pub struct StateStore {
    database: Database,
    path: PathBuf,
    recent: Recent,
}

/// The state of one partition. Copies stand for the same state.
#[derive(Clone)]
pub struct PartitionState {
    database: Database,
    path: PathBuf,
    prefix: String,
    recent: RecentVisitors,
    meta: Keyspace,
    visitors: Keyspace,
    waits: Keyspace,
    rates: Keyspace,
    /// By generation.
    seen: BTreeMap<i64, Keyspace>,
    /// Where it stood when it was opened; none if nothing was ever committed.
    pub opened_at: Option<Place>,
}

/// What is not in files yet is looked through for each new visitor and id: the
/// smaller, the more of its ways are in a processor's caches.
const MEMTABLE_BYTES: u64 = 16 << 20;

/// Every new visitor and id is looked for in every file, so filters and indexes
/// stay in memory, those of large files too, and whole, as only then they do: the
/// cache of blocks would throw out as many as it takes in.
fn options() -> KeyspaceCreateOptions {
    let (always, never) = (|| PinningPolicy::all(true), || PartitioningPolicy::all(false));
    KeyspaceCreateOptions::default()
        .max_memtable_size(MEMTABLE_BYTES)
        .filter_block_pinning_policy(always())
        .index_block_pinning_policy(always())
        .filter_block_partitioning_policy(never())
        .index_block_partitioning_policy(never())
}

fn failed(path: &Path) -> impl Fn(fjall::Error) -> ProcessorError {
    move |error| ProcessorError::State { path: path.to_owned(), message: error.to_string() }
}

impl StateStore {
    /// Opens the directory, or makes it. In `memory_bytes` are visitors that were
    /// written lately, and, a quarter of it, blocks of files. Besides these there
    /// are filters, ten to twenty bits a key, indexes, and what is not in files yet,
    /// for which see [`MEMTABLE_BYTES`].
    ///
    /// # Errors
    /// When it cannot be used, or another process does.
    pub fn open(path: &Path, memory_bytes: usize) -> Result<Self, ProcessorError> {
        let for_blocks = memory_bytes / 4;
        let database = Database::builder(path).worker_threads(WORKERS).cache_size(for_blocks as u64);
        let database = database.open().map_err(failed(path))?;
        Ok(Self { database, path: path.to_owned(), recent: Recent::new(memory_bytes - for_blocks) })
    }

    /// The state of a partition of `topic`; empty where there is none, or where
    /// it is of another layout.
    ///
    /// # Errors
    /// When the disk fails, or what is on it is damaged.
    pub fn partition(&self, topic: &str, partition: i32) -> Result<PartitionState, ProcessorError> {
        let prefix = format!("{topic}-{partition}-");
        let meta = self.keyspace(&format!("{prefix}meta"))?;
        match meta.get(LAYOUT_KEY).map_err(failed(&self.path))? {
            Some(layout) if *layout == *LAYOUT => {}
            found => {
                if found.is_some() {
                    tracing::warn!(topic, partition, "the state is of another version; building it anew");
                }
                drop(meta);
                self.remove(&prefix)?;
            }
        }
        let [meta, visitors, waits, rates] = KEYSPACES.map(|name| self.keyspace(&format!("{prefix}{name}")));
        let (meta, failed) = (meta?, failed(&self.path));
        meta.insert(LAYOUT_KEY, LAYOUT).map_err(&failed)?;
        let place = match meta.get(PLACE_KEY).map_err(&failed)? {
            Some(bytes) => Some(read(&self.path, "place", &bytes)?),
            None => None,
        };
        let seen_prefix = format!("{prefix}seen-");
        let mut seen = BTreeMap::new();
        for name in self.database.list_keyspace_names() {
            if let Some(generation) = name.strip_prefix(&seen_prefix).and_then(|text| text.parse().ok()) {
                seen.insert(generation, self.keyspace(&name)?);
            }
        }
        let (database, path) = (self.database.clone(), self.path.clone());
        let (visitors, waits, rates) = (visitors?, waits?, rates?);
        let recent = self.recent.opened();
        Ok(PartitionState {
            database,
            path,
            prefix,
            recent,
            meta,
            visitors,
            waits,
            rates,
            seen,
            opened_at: place,
        })
    }

    fn keyspace(&self, name: &str) -> Result<Keyspace, ProcessorError> {
        self.database.keyspace(name, options).map_err(failed(&self.path))
    }

    fn remove(&self, prefix: &str) -> Result<(), ProcessorError> {
        for name in self.database.list_keyspace_names() {
            if name.starts_with(prefix) {
                let keyspace = self.keyspace(&name)?;
                self.database.delete_keyspace(keyspace).map_err(failed(&self.path))?;
            }
        }
        Ok(())
    }
}

fn read<T: DeserializeOwned>(path: &Path, what: &str, bytes: &[u8]) -> Result<T, ProcessorError> {
    postcard::from_bytes(bytes).map_err(|error| ProcessorError::State {
        path: path.to_owned(),
        message: format!("{what} is damaged ({error}); remove the directory to rebuild the state from Kafka"),
    })
}

fn bytes_of<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_allocvec(value).expect("states have a binary form")
}

fn in_order<K: Ord, V>(changes: &foldhash::HashMap<K, V>) -> Vec<(&K, &V)> {
    let mut sorted: Vec<_> = changes.iter().collect();
    sorted.sort_unstable_by_key(|(key, _)| *key);
    sorted
}

fn rate_key((link, network): &RateKey) -> Vec<u8> {
    [link.0.as_bytes(), network.as_bytes()].concat()
}

fn wait_key((until_ms, key): &(i64, VisitorKey)) -> [u8; 24] {
    let mut bytes = [0; 24];
    bytes[..8].copy_from_slice(&until_ms.max(&0).to_be_bytes());
    bytes[8..].copy_from_slice(&key.0);
    bytes
}

impl Memory for PartitionState {
    type Error = ProcessorError;

    fn visitor(&self, key: VisitorKey) -> Result<Option<Arc<VisitorState>>, ProcessorError> {
        let bytes = match self.recent.get(key) {
            Some(bytes) => Some(bytes),
            None => self.visitors.get(key.0).map_err(failed(&self.path))?,
        };
        bytes.map(|bytes| read(&self.path, "a visitor", &bytes).map(Arc::new)).transpose()
    }

    fn seen(&self, generation: i64, id: Uuid) -> Result<Option<Note>, ProcessorError> {
        let Some(seen) = self.seen.get(&generation) else { return Ok(None) };
        let bytes = seen.get(id.as_bytes()).map_err(failed(&self.path))?;
        bytes.map(|bytes| read(&self.path, "a note", &bytes)).transpose()
    }

    fn rate(&self, key: &RateKey) -> Result<Option<Rate>, ProcessorError> {
        let bytes = self.rates.get(rate_key(key)).map_err(failed(&self.path))?;
        bytes.map(|bytes| read(&self.path, "a rate", &bytes)).transpose()
    }

    fn due(&self, clock_ms: i64) -> Result<Due, ProcessorError> {
        let mut due = Due::default();
        for wait in self.waits.iter() {
            let bytes = wait.key().map_err(failed(&self.path))?;
            let (until_ms, key) = bytes.split_at_checked(8).unwrap_or_default();
            let (Ok(until_ms), Ok(key)) = (<[u8; 8]>::try_from(until_ms), <[u8; 16]>::try_from(key)) else {
                continue;
            };
            let until_ms = i64::from_be_bytes(until_ms);
            if until_ms > clock_ms {
                due.next_ms = Some(until_ms);
                break;
            }
            due.now.push((until_ms, VisitorKey(key)));
        }
        Ok(due)
    }
}

impl PartitionState {
    /// Writes `changes` and the new place, all or nothing. Ids of before
    /// `oldest_generation` are forgotten.
    ///
    /// # Errors
    /// When the disk fails; nothing is changed then.
    pub fn commit(
        &mut self,
        changes: &Changes,
        place: &Place,
        oldest_generation: i64,
    ) -> Result<(), ProcessorError> {
        self.prepare(changes)?;
        self.write(changes, place)?;
        self.forget(oldest_generation)
    }

    /// An error about this state.
    pub(super) fn failure(&self, message: &str) -> ProcessorError {
        ProcessorError::State { path: self.path.clone(), message: message.to_owned() }
    }

    /// Makes room for `changes`, which are then [written](Self::write).
    pub(super) fn prepare(&mut self, changes: &Changes) -> Result<(), ProcessorError> {
        for (generation, _) in changes.seen.keys() {
            if !self.seen.contains_key(generation) {
                let name = format!("{}seen-{generation}", self.prefix);
                let keyspace = self.database.keyspace(&name, options);
                self.seen.insert(*generation, keyspace.map_err(failed(&self.path))?);
            }
        }
        Ok(())
    }

    /// Writes changes that room was [made](Self::prepare) for, and the new place,
    /// all or nothing.
    pub(super) fn write(&self, changes: &Changes, place: &Place) -> Result<(), ProcessorError> {
        // A killed process loses nothing; a power cut may lose the last moments
        // of state and place together, which is only a place further back.
        let mut batch = self.database.batch().durability(Some(PersistMode::Buffer));
        // In the order of keys: neighbours' places in memory are near each other.
        let (mut buffer, mut written) = (Vec::new(), Vec::with_capacity(changes.visitors.len()));
        for (key, state) in in_order(&changes.visitors) {
            if state.is_empty() {
                batch.remove(&self.visitors, key.0);
                written.push((*key, None));
            } else {
                buffer = postcard::to_extend(&**state, buffer).expect("states have a binary form");
                let bytes = Slice::from(&buffer[..]);
                buffer.clear();
                batch.insert(&self.visitors, key.0, bytes.clone());
                written.push((*key, Some(bytes)));
            }
        }
        for ((generation, id), note) in in_order(&changes.seen) {
            batch.insert(&self.seen[generation], *id.as_bytes(), *note);
        }
        for (key, rate) in &changes.rates {
            batch.insert(&self.rates, rate_key(key), bytes_of(rate));
        }
        for (wait, is_added) in &changes.waits {
            if *is_added {
                batch.insert(&self.waits, wait_key(wait), Vec::new());
            } else {
                batch.remove(&self.waits, wait_key(wait));
            }
        }
        batch.insert(&self.meta, PLACE_KEY, bytes_of(place));
        batch.commit().map_err(failed(&self.path))?;
        for (key, bytes) in written {
            self.recent.set(key, bytes);
        }
        Ok(())
    }

    /// Forgets ids of before `oldest_generation`.
    pub(super) fn forget(&mut self, oldest_generation: i64) -> Result<(), ProcessorError> {
        while let Some(old) = self.seen.first_entry().filter(|entry| *entry.key() < oldest_generation) {
            self.database.delete_keyspace(old.remove()).map_err(failed(&self.path))?;
        }
        Ok(())
    }
}

impl PartitionState {
    /// What its keyspaces take on disk, the journal aside.
    #[must_use]
    pub fn bytes_on_disk(&self) -> u64 {
        let all = [&self.meta, &self.visitors, &self.waits, &self.rates].into_iter();
        all.chain(self.seen.values()).map(Keyspace::disk_space).sum()
    }
}

#[cfg(test)]
mod tests {
    use domain::attribution::Place;
    use domain::attribution::memory::{Parked, Touch};
    use domain::event::{Action, Event, Item, Sought};
    use domain::ids::{CampaignId, EventId, LinkId, UserId};
    use domain::money::{Currency, Money};

    use super::*;

    const VISITOR: VisitorKey = VisitorKey([7; 16]);
    const ID: Uuid = Uuid::from_u128(1);
    const MEMORY_BYTES: usize = 1 << 20;

    fn some_changes() -> Changes {
        let touch = Touch {
            click: EventId(ID),
            link: LinkId(Uuid::nil()),
            campaign: CampaignId(Uuid::nil()),
            creator: UserId(Uuid::nil()),
            supporter: None,
            at_ms: 5,
            is_direct: true,
        };
        let mut changes = Changes::default();
        let bare = Action::of_click(&Event::tick(7));
        // A form without names must not leave out what is empty.
        let full = Action {
            user: Some(VISITOR),
            value: Some(Money { amount_minor: 5, currency: Currency::new("USD").unwrap() }),
            click: Some(EventId(ID)),
            coupon: Some("A".to_owned()),
            transaction: Some(ID),
            order: Some(ID),
            items: vec![Item { sku: "a".to_owned(), quantity: 1, unit_price_minor: 5 }],
            sought: Sought::Among(vec![VISITOR]),
            waited_ms: Some(3),
            ..bare.clone()
        };
        let parked = [bare, full].map(|action| Parked { action, since_ms: 1, until_ms: 2 }).to_vec();
        let state = VisitorState { touches: vec![touch], parked, identities: vec![VISITOR] };
        changes.visitors.insert(VISITOR, Arc::new(state));
        changes.seen.insert((3, ID), [3; 16]);
        changes.rates.insert((LinkId(ID), "10.0.0.0".to_owned()), Rate { minute: 5, clicks: 2 });
        changes.waits.insert((900, VISITOR), true);
        changes.waits.insert((100, VISITOR), true);
        changes
    }

    /// Fails unless `state` remembers all of `changes`.
    fn check(state: &PartitionState, changes: &Changes) {
        assert_eq!(state.visitor(VISITOR).unwrap().as_ref(), changes.visitors.get(&VISITOR));
        assert_eq!(state.seen(3, ID).unwrap(), Some([3; 16]));
        assert_eq!(state.seen(2, ID).unwrap(), None);
        for (key, rate) in &changes.rates {
            assert_eq!(state.rate(key).unwrap(), Some(*rate));
        }
        assert_eq!(state.due(99).unwrap(), Due { now: vec![], next_ms: Some(100) });
        assert_eq!(state.due(100).unwrap(), Due { now: vec![(100, VISITOR)], next_ms: Some(900) });
    }

    #[test]
    fn all_of_a_commit_survives_together() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::at(42);
        {
            let store = StateStore::open(dir.path(), MEMORY_BYTES).unwrap();
            let mut partition = store.partition("events", 3).unwrap();
            assert_eq!(partition.opened_at, None);
            partition.commit(&some_changes(), &place, 2).unwrap();
            check(&partition, &some_changes());
        }
        let store = StateStore::open(dir.path(), MEMORY_BYTES).unwrap();
        let partition = store.partition("events", 3).unwrap();
        assert_eq!(partition.opened_at, Some(place));
        check(&partition, &some_changes());
        let other = store.partition("events", 4).unwrap();
        assert_eq!((&other.opened_at, other.visitor(VISITOR).unwrap()), (&None, None));
    }

    #[test]
    fn what_is_old_or_removed_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let store = StateStore::open(dir.path(), MEMORY_BYTES).unwrap();
        let mut partition = store.partition("events", 0).unwrap();
        partition.commit(&some_changes(), &Place::default(), 2).unwrap();
        let mut changes = Changes::default();
        changes.visitors.insert(VISITOR, Arc::default());
        changes.waits.insert((100, VISITOR), false);
        changes.seen.insert((4, ID), [4; 16]);
        partition.commit(&changes, &Place::default(), 4).unwrap();
        assert_eq!(partition.visitor(VISITOR).unwrap(), None);
        assert_eq!(partition.seen(3, ID).unwrap(), None);
        assert_eq!(partition.seen(4, ID).unwrap(), Some([4; 16]));
        assert_eq!(partition.due(500).unwrap(), Due { now: vec![], next_ms: Some(900) });
    }

    #[test]
    fn another_layout_is_built_anew() {
        let dir = tempfile::tempdir().unwrap();
        let store = StateStore::open(dir.path(), MEMORY_BYTES).unwrap();
        let mut partition = store.partition("events", 0).unwrap();
        partition.commit(&some_changes(), &Place::at(9), 0).unwrap();
        partition.meta.insert(LAYOUT_KEY, b"1").unwrap();
        drop(partition);
        let partition = store.partition("events", 0).unwrap();
        assert_eq!((&partition.opened_at, partition.visitor(VISITOR).unwrap()), (&None, None));
        assert_eq!(partition.seen(3, ID).unwrap(), None);
    }
}
