//! The visitors of a partition as they were committed: a [log](log) of their
//! states on disk, and a table in memory of where in it each one's latest stands.
//!
//! Visitors come in no order, and nearly every event reads one and writes one. In
//! an LSM tree, which has the rest of the state, a look-up asks filters of all
//! its levels and unpacks a block, the more the larger it is, and what is written
//! is merged time and again. Here a look-up is one in a table and one read, and a
//! write is added at the end, whatever their number. The price is memory: about
//! 40 bytes a visitor. (Bitcask, Sheehy and Smith 2010; that the latest part of the
//! log is in memory as well, so that who comes often is there, is from FASTER,
//! Chandramouli et al. 2018.)
//!
//! | module | job |
//! |---|---|
//! | here | which record is a visitor's; when old ones go |
//! | [`log`] | files, memory, where it ends |
//! | [`codec`] | a state as bytes |
//! | [`record`] | how a record is written, and a damaged one told |

mod codec;
mod log;
mod record;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use dashmap::DashMap;
use domain::attribution::memory::VisitorState;
use domain::ids::VisitorKey;
use foldhash::fast::RandomState;

pub(super) use self::log::Extent;
use self::log::{Appending, Location, Log, damaged, records_of};
use crate::ProcessorError;

/// When to clean up.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// A segment is full at this many bytes,
    segment_bytes: u32,
    /// and the first one goes when there are so many more records than twice
    /// those that count.
    surplus: u64,
}

const LIMITS: Limits = Limits { segment_bytes: 16 << 20, surplus: 100_000 };

/// The table grows in parts, so that nobody waits long while one does.
const PARTS: usize = 64;

/// What all partitions' visitors may keep in memory of their logs.
pub(super) struct Room {
    bytes: usize,
    /// Partitions that are open; each has the same share.
    open: Arc<AtomicUsize>,
}

/// A partition's share of the [`Room`].
struct Share {
    bytes: usize,
    open: Arc<AtomicUsize>,
}

/// The visitors of a partition.
pub(super) struct Visitors {
    dir: PathBuf,
    table: DashMap<VisitorKey, Location, RandomState>,
    log: Log,
    limits: Limits,
    share: Share,
    /// Something was added to the log that is not in the table: a commit is under
    /// way, or has failed, and then nothing can be added any more.
    is_ahead: AtomicBool,
}

/// What was added to the log, and counts once it is [adopted](Visitors::adopt).
pub(super) struct Added {
    /// To be written down with what belongs to it.
    pub(super) extent: Extent,
    /// Where the visitors are then; nowhere, if they were forgotten.
    places: Vec<(VisitorKey, Option<Location>)>,
}

impl Room {
    /// Room of `bytes`.
    pub(super) fn new(bytes: usize) -> Self {
        Self { bytes, open: Arc::default() }
    }

    fn share(&self) -> Share {
        self.open.fetch_add(1, Ordering::Relaxed);
        Share { bytes: self.bytes, open: Arc::clone(&self.open) }
    }
}

impl Share {
    fn bytes(&self) -> usize {
        self.bytes / self.open.load(Ordering::Relaxed).max(1)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Visitors {
    /// Opens those in a directory, or makes it, as far as `extent` says. `None` if
    /// something is missing or damaged.
    pub(super) fn open(dir: &Path, extent: &Extent, room: &Room) -> Result<Option<Self>, ProcessorError> {
        Self::open_within(dir, extent, room, LIMITS)
    }

    fn open_within(
        dir: &Path,
        extent: &Extent,
        room: &Room,
        limits: Limits,
    ) -> Result<Option<Self>, ProcessorError> {
        let table = DashMap::with_hasher_and_shard_amount(RandomState::default(), PARTS);
        let log = Log::open(dir, extent, limits.segment_bytes, |location, record| {
            place(&table, record.key, (!record.state.is_empty()).then_some(location));
        });
        let log = log.map_err(|error| failed(dir, &error))?;
        let (dir, share, is_ahead) = (dir.to_owned(), room.share(), AtomicBool::new(false));
        Ok(log.map(|log| Self { dir, table, log, limits, share, is_ahead }))
    }

    /// A visitor's state.
    pub(super) fn get(&self, key: VisitorKey) -> Result<Option<Arc<VisitorState>>, ProcessorError> {
        let mut gone = None;
        // If its segment went meanwhile, it is somewhere else already.
        while let Some(location) = self.table.get(&key).map(|location| *location) {
            if gone == Some(location) {
                return Err(failed(&self.dir, &"a visitor's record is nowhere"));
            }
            let read = self
                .log
                .read(location, |record| (record.key == key).then(|| codec::decode(record.state)).flatten());
            match read.map_err(|error| failed(&self.dir, &error))? {
                Some(Some(state)) => return Ok(Some(Arc::new(state))),
                Some(None) => return Err(failed(&self.dir, &"a visitor's record is another's, or damaged")),
                None => gone = Some(location),
            }
        }
        Ok(None)
    }

    /// Adds `visitors` to the log.
    pub(super) fn add<'a>(
        &self,
        visitors: impl ExactSizeIterator<Item = (&'a VisitorKey, &'a Arc<VisitorState>)>,
    ) -> Result<Added, ProcessorError> {
        if self.is_ahead.swap(true, Ordering::Relaxed) {
            return Err(failed(&self.dir, &"it was not written to the end before"));
        }
        self.try_add(visitors).map_err(|error| failed(&self.dir, &error))
    }

    fn try_add<'a>(
        &self,
        visitors: impl ExactSizeIterator<Item = (&'a VisitorKey, &'a Arc<VisitorState>)>,
    ) -> io::Result<Added> {
        let mut log = self.log.append(self.share.bytes());
        let mut places = Vec::with_capacity(visitors.len());
        // First, so that what changes now comes after what it changes.
        self.clean_up(visitors.len(), &mut log, &mut places)?;
        for (key, state) in visitors {
            let is_kept = !state.is_empty();
            let location = log.add(*key, |out| if is_kept { codec::encode(state, out) } else { out })?;
            places.push((*key, is_kept.then_some(location)));
        }
        Ok(Added { extent: log.finish()?, places })
    }

    /// Leaves out first segments while too little of the log counts; what counts
    /// of them is added again, within what is due for so many `changes`: each
    /// leaves one record that does not count, beside one that does, at least.
    fn clean_up(
        &self,
        changes: usize,
        log: &mut Appending<'_>,
        places: &mut Vec<(VisitorKey, Option<Location>)>,
    ) -> io::Result<()> {
        let allowed = 2 * self.table.len() as u64 + self.limits.surplus;
        let end = log.number();
        while log.records() > allowed && log.first() < end && places.len() <= 2 * changes {
            let (number, content) = log.drop_first()?;
            let mut whole = 0;
            for (offset, record) in records_of(&content) {
                whole = offset as usize + record.bytes();
                let here = Location::new(number, offset);
                if self.table.get(&record.key).is_some_and(|location| *location == here) {
                    let location = log.add(record.key, |mut out| {
                        out.extend_from_slice(record.state);
                        out
                    })?;
                    places.push((record.key, Some(location)));
                }
            }
            if whole != content.len() {
                return Err(damaged());
            }
        }
        Ok(())
    }

    /// From now on what was added counts.
    pub(super) fn adopt(&self, added: Added) -> Result<(), ProcessorError> {
        for (key, location) in added.places {
            place(&self.table, key, location);
        }
        self.log.remove_before(added.extent.first()).map_err(|error| failed(&self.dir, &error))?;
        self.is_ahead.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// What they take on disk.
    pub(super) fn bytes_on_disk(&self) -> u64 {
        self.log.bytes()
    }
}

fn place(table: &DashMap<VisitorKey, Location, RandomState>, key: VisitorKey, location: Option<Location>) {
    match location {
        Some(location) => drop(table.insert(key, location)),
        None => drop(table.remove(&key)),
    }
}

fn failed(dir: &Path, error: &dyn std::fmt::Display) -> ProcessorError {
    ProcessorError::State { path: dir.to_owned(), message: error.to_string() }
}

#[cfg(test)]
mod tests;
