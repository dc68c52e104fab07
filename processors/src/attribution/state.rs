//! What attribution remembers, on local disk, by partition. Changes, position
//! and clock go into one write, so the state always stands at an exact place of
//! its partition. [Visitors](super::visitors) are in a log of their own; how much
//! of it counts is in the same write.
//!
//! | keyspace | key | value |
//! |---|---|---|
//! | `seen-<generation>` | event id of version 7 | payload hash; dropped as a whole when old |
//! | `named-<generation>` | any other event id, order | the same |
//! | `waits` | end of a wait, visitor key | - |
//! | `rates` | link, network | clicks in a minute |
//! | `meta` | `layout` | the layout's version |
//! | | `place` | next offset and clock |
//! | | `visitors` | how much of the visitors' log counts |
//! | | `latest-<generation>` | the highest id in `seen-<generation>` |

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::attribution::Place;
use domain::attribution::memory::{Changes, Due, Memory, Note, Rate, RateKey, VisitorState};
use domain::ids::VisitorKey;
use fjall::config::{PartitioningPolicy, PinningPolicy};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::visitors::{Extent, Room, Visitors};
use crate::ProcessorError;

/// Changes when the form of keys or values does, or what a keyspace is made with,
/// which it keeps; another layout's state is built anew.
const LAYOUT: &[u8] = b"6";
const LAYOUT_KEY: &[u8] = b"layout";
const PLACE_KEY: &[u8] = b"place";
const VISITORS_KEY: &[u8] = b"visitors";

/// With one, a merge of files that takes long would keep waiting what has to be
/// written to files meanwhile.
const WORKERS: usize = 2;

/// The store of one processor.
pub struct StateStore {
    database: Database,
    path: PathBuf,
    /// What visitors may keep in memory.
    room: Room,
}

/// The state of one partition. Copies stand for the same state.
#[derive(Clone)]
pub struct PartitionState {
    database: Database,
    path: PathBuf,
    prefix: String,
    meta: Keyspace,
    visitors: Arc<Visitors>,
    waits: Keyspace,
    rates: Keyspace,
    /// By generation.
    seen: BTreeMap<i64, Seen>,
    /// Where it stood when it was opened; none if nothing was ever committed.
    pub opened_at: Option<Place>,
}

/// The ids of a generation.
#[derive(Clone)]
struct Seen {
    /// Those that begin with the time, as the collector's do: they come in order,
    /// so files of them need no merging,
    timed: Keyspace,
    /// and most that are asked for are above the highest: nobody need look for
    /// them.
    latest: Uuid,
    /// Those that come in no order.
    named: Keyspace,
}

/// What is not in files yet is looked through for each new id: the smaller, the
/// more of its ways are in a processor's caches.
const MEMTABLE_BYTES: u64 = 16 << 20;

/// Ids that others made are looked for in every file, so filters and indexes
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
    /// Opens the directory, or makes it. In `memory_bytes` are the visitors that were
    /// written last, and, a quarter of it, blocks of files. Besides these there
    /// are about 40 bytes for each visitor, filters of ten to twenty bits for each
    /// id, indexes, and what is not in files yet, for which see [`MEMTABLE_BYTES`].
    ///
    /// # Errors
    /// When it cannot be used, or another process does.
    pub fn open(path: &Path, memory_bytes: usize) -> Result<Self, ProcessorError> {
        let for_blocks = memory_bytes / 4;
        let database = Database::builder(path).worker_threads(WORKERS).cache_size(for_blocks as u64);
        let database = database.open().map_err(failed(path))?;
        Ok(Self { database, path: path.to_owned(), room: Room::new(memory_bytes - for_blocks) })
    }

    /// The state of a partition of `topic`; empty where there is none, or where
    /// it is of another layout, or damaged.
    ///
    /// # Errors
    /// When the disk fails, or what is on it is damaged and in the way.
    pub fn partition(&self, topic: &str, partition: i32) -> Result<PartitionState, ProcessorError> {
        let prefix = format!("{topic}-{partition}-");
        let meta = self.keyspace(&format!("{prefix}meta"))?;
        match meta.get(LAYOUT_KEY).map_err(failed(&self.path))? {
            Some(layout) if *layout == *LAYOUT => {
                if let Some(state) = self.opened(&prefix, meta)? {
                    return Ok(state);
                }
                tracing::warn!(topic, partition, "the visitors' log is damaged; building the state anew");
            }
            Some(_) => {
                drop(meta);
                tracing::warn!(topic, partition, "the state is of another version; building it anew");
            }
            None => drop(meta),
        }
        self.remove(&prefix)?;
        let meta = self.keyspace(&format!("{prefix}meta"))?;
        meta.insert(LAYOUT_KEY, LAYOUT).map_err(failed(&self.path))?;
        let state = self.opened(&prefix, meta)?;
        state.ok_or_else(|| state_error(&self.path, "what was just made is not whole"))
    }

    /// What is under `prefix`; `None` if it is not whole.
    fn opened(&self, prefix: &str, meta: Keyspace) -> Result<Option<PartitionState>, ProcessorError> {
        let failed = failed(&self.path);
        let opened_at = match meta.get(PLACE_KEY).map_err(&failed)? {
            Some(bytes) => Some(read(&self.path, "place", &bytes)?),
            None => None,
        };
        let extent = match meta.get(VISITORS_KEY).map_err(&failed)? {
            Some(bytes) => read(&self.path, "the extent of the visitors' log", &bytes)?,
            None => Extent::default(),
        };
        let visitors = Visitors::open(&self.visitors_dir(prefix), &extent, &self.room)?;
        let Some(visitors) = visitors else { return Ok(None) };
        let seen_prefix = format!("{prefix}seen-");
        let mut seen = BTreeMap::new();
        for name in self.database.list_keyspace_names() {
            if let Some(generation) = name.strip_prefix(&seen_prefix).and_then(|text| text.parse().ok()) {
                seen.insert(generation, Seen::open(&self.database, &meta, &self.path, prefix, generation)?);
            }
        }
        Ok(Some(PartitionState {
            database: self.database.clone(),
            path: self.path.clone(),
            prefix: prefix.to_owned(),
            meta,
            visitors: Arc::new(visitors),
            waits: self.keyspace(&format!("{prefix}waits"))?,
            rates: self.keyspace(&format!("{prefix}rates"))?,
            seen,
            opened_at,
        }))
    }

    fn keyspace(&self, name: &str) -> Result<Keyspace, ProcessorError> {
        self.database.keyspace(name, options).map_err(failed(&self.path))
    }

    fn visitors_dir(&self, prefix: &str) -> PathBuf {
        self.path.join("visitors").join(prefix.trim_end_matches('-'))
    }

    fn remove(&self, prefix: &str) -> Result<(), ProcessorError> {
        for name in self.database.list_keyspace_names() {
            if name.starts_with(prefix) {
                let keyspace = self.keyspace(&name)?;
                self.database.delete_keyspace(keyspace).map_err(failed(&self.path))?;
            }
        }
        match fs::remove_dir_all(self.visitors_dir(prefix)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(state_error(&self.path, &error.to_string()))
            }
            _ => Ok(()),
        }
    }
}

impl Seen {
    fn open(
        database: &Database,
        meta: &Keyspace,
        path: &Path,
        prefix: &str,
        generation: i64,
    ) -> Result<Self, ProcessorError> {
        let keyspace = |name: &str| {
            database.keyspace(&format!("{prefix}{name}-{generation}"), options).map_err(failed(path))
        };
        let latest = meta.get(latest_key(generation)).map_err(failed(path))?;
        let latest = latest.map(|bytes| read(path, "the latest id", &bytes)).transpose()?;
        Ok(Self { timed: keyspace("seen")?, latest: latest.unwrap_or_default(), named: keyspace("named")? })
    }

    /// Whether it cannot have been noted.
    fn is_new(&self, id: Uuid) -> bool {
        is_timed(id) && id > self.latest
    }

    /// Where it is noted.
    fn keyspace_of(&self, id: Uuid) -> &Keyspace {
        if is_timed(id) { &self.timed } else { &self.named }
    }
}

/// Whether an id begins with the time.
fn is_timed(id: Uuid) -> bool {
    id.get_version_num() == 7
}

fn state_error(path: &Path, message: &str) -> ProcessorError {
    ProcessorError::State { path: path.to_owned(), message: message.to_owned() }
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

fn latest_key(generation: i64) -> String {
    format!("latest-{generation}")
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
        self.visitors.get(key)
    }

    fn seen(&self, generation: i64, id: Uuid) -> Result<Option<Note>, ProcessorError> {
        let Some(seen) = self.seen.get(&generation).filter(|seen| !seen.is_new(id)) else { return Ok(None) };
        let bytes = seen.keyspace_of(id).get(id.as_bytes()).map_err(failed(&self.path))?;
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
        state_error(&self.path, message)
    }

    /// Makes room for `changes`, which are then [written](Self::write).
    pub(super) fn prepare(&mut self, changes: &Changes) -> Result<(), ProcessorError> {
        let Self { database, meta, path, prefix, seen, .. } = self;
        for (generation, id) in changes.seen.keys() {
            let seen = match seen.entry(*generation) {
                Entry::Occupied(seen) => seen.into_mut(),
                Entry::Vacant(none) => none.insert(Seen::open(database, meta, path, prefix, *generation)?),
            };
            if seen.is_new(*id) {
                seen.latest = *id;
            }
        }
        Ok(())
    }

    /// Writes changes that room was [made](Self::prepare) for, and the new place,
    /// all or nothing.
    pub(super) fn write(&self, changes: &Changes, place: &Place) -> Result<(), ProcessorError> {
        // A killed process loses nothing. A power cut may lose the last moments of
        // state and place together, which is only a place further back; or, as
        // nothing is synced, what counts of the visitors' log: the next opening
        // sees it, and the state is built anew.
        let visitors = self.visitors.add(changes.visitors.iter())?;
        let mut batch = OwnedWriteBatch::with_capacity(self.database.clone(), changes.len() + 8);
        batch = batch.durability(Some(PersistMode::Buffer));
        self.note_seen(changes, &mut batch);
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
        batch.insert(&self.meta, VISITORS_KEY, bytes_of(&visitors.extent));
        batch.insert(&self.meta, PLACE_KEY, bytes_of(place));
        batch.commit().map_err(failed(&self.path))?;
        self.visitors.adopt(visitors)
    }

    fn note_seen(&self, changes: &Changes, batch: &mut OwnedWriteBatch) {
        // In the order of keys: neighbours' places in memory are near each other.
        let mut sorted: Vec<_> = changes.seen.iter().map(|((of, id), note)| (*of, *id, *note)).collect();
        sorted.sort_unstable_by_key(|(generation, id, _)| (*generation, id.as_u128()));
        let mut latest_of = None;
        for (generation, id, note) in sorted {
            let seen = &self.seen[&generation];
            batch.insert(seen.keyspace_of(id), *id.as_bytes(), note);
            if latest_of.replace(generation) != Some(generation) {
                batch.insert(&self.meta, latest_key(generation), bytes_of(&seen.latest));
            }
        }
    }

    /// Forgets ids of before `oldest_generation`.
    pub(super) fn forget(&mut self, oldest_generation: i64) -> Result<(), ProcessorError> {
        while let Some(old) = self.seen.first_entry().filter(|entry| *entry.key() < oldest_generation) {
            let (generation, Seen { timed, named, .. }) = old.remove_entry();
            // The one that its generation is found by goes last.
            for keyspace in [named, timed] {
                self.database.delete_keyspace(keyspace).map_err(failed(&self.path))?;
            }
            self.meta.remove(latest_key(generation)).map_err(failed(&self.path))?;
        }
        Ok(())
    }
}

impl PartitionState {
    /// What it takes on disk, the keyspaces' journal aside.
    #[must_use]
    pub fn bytes_on_disk(&self) -> u64 {
        let all = [&self.meta, &self.waits, &self.rates].into_iter();
        let all = all.chain(self.seen.values().flat_map(|seen| [&seen.timed, &seen.named]));
        all.map(Keyspace::disk_space).sum::<u64>() + self.visitors.bytes_on_disk()
    }
}

#[cfg(test)]
mod tests;
