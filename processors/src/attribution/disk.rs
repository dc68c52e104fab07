//! A partition's state while it is being written: a commit goes to disk on a
//! thread of its own, and the work reads what it writes from memory until it
//! is there.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;

use domain::attribution::Place;
use domain::attribution::memory::{Changes, Due, Memory, Note, Rate, RateKey, VisitorState};
use domain::ids::VisitorKey;
use uuid::Uuid;

use super::state::PartitionState;
use crate::ProcessorError;

/// What was committed, and what is being committed. Dropping it waits for that;
/// who wants to know whether it failed [waits](Self::wait) before.
pub(super) struct Disk {
    state: PartitionState,
    writer: Writer,
    writing: Option<Writing>,
    /// Where the last commit that came to its end stands, if that is news.
    written: Option<Place>,
    /// What that one wrote. To free so many small things takes long, so it is done
    /// with the next one,
    over: Option<Arc<Changes>>,
    /// which gives back their room.
    room: Changes,
}

/// A commit on its way.
struct Writing {
    changes: Arc<Changes>,
    place: Place,
}

/// The thread that commits, one commit after the other. It ends when nobody has
/// anything more for it.
struct Writer {
    jobs: Option<Sender<Job>>,
    done: Receiver<(Result<(), ProcessorError>, Changes)>,
    thread: Option<JoinHandle<()>>,
}

struct Job {
    /// What is committed, and its room for the changes.
    state: PartitionState,
    changes: Arc<Changes>,
    place: Place,
    over: Option<Arc<Changes>>,
}

impl Writer {
    fn start() -> std::io::Result<Self> {
        let (jobs, to_do) = channel::<Job>();
        let (did, done) = channel();
        let thread = std::thread::Builder::new().name("commit".to_owned()).spawn(move || {
            for Job { state, changes, place, over } in to_do {
                let written = state.write(&changes, &place);
                // Nobody else has it any more.
                let mut room = over.and_then(Arc::into_inner).unwrap_or_default();
                room.clear();
                drop((state, changes));
                if did.send((written, room)).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { jobs: Some(jobs), done, thread: Some(thread) })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        // If it panicked, whoever waited was told.
        let _ended = self.thread.take().map(JoinHandle::join);
    }
}

impl Disk {
    /// A partition's state, with a thread to write it.
    pub(super) fn new(state: PartitionState) -> Result<Self, ProcessorError> {
        let writer = Writer::start();
        let writer = writer.map_err(|error| state.failure(&format!("no thread to write it: {error}")))?;
        Ok(Self { state, writer, writing: None, written: None, over: None, room: Changes::default() })
    }

    /// Begins to write `changes` and `place`, all or nothing, after the commit
    /// before. Gives room for the changes to come.
    pub(super) fn begin(&mut self, changes: Changes, place: Place) -> Result<Changes, ProcessorError> {
        self.wait()?;
        self.state.prepare(&changes)?;
        let changes = Arc::new(changes);
        let job = Job {
            state: self.state.clone(),
            changes: Arc::clone(&changes),
            place: place.clone(),
            over: self.over.take(),
        };
        let is_taken = self.writer.jobs.as_ref().is_some_and(|jobs| jobs.send(job).is_ok());
        if !is_taken {
            return Err(self.panicked());
        }
        self.writing = Some(Writing { changes, place });
        Ok(std::mem::take(&mut self.room))
    }

    /// Where the disk stands, if a commit has come to its end since this was
    /// asked last. Ids of generations before `oldest` of its clock are forgotten.
    pub(super) fn settle(&mut self, oldest: impl Fn(i64) -> i64) -> Result<Option<Place>, ProcessorError> {
        match self.writer.done.try_recv() {
            Ok(done) => self.take_note(done)?,
            Err(TryRecvError::Disconnected) => return Err(self.panicked()),
            Err(TryRecvError::Empty) => {}
        }
        let written = self.written.take();
        if let Some(place) = &written {
            self.state.forget(oldest(place.clock_ms))?;
        }
        Ok(written)
    }

    /// Waits for the commit that is on its way.
    pub(super) fn wait(&mut self) -> Result<(), ProcessorError> {
        if self.writing.is_none() {
            return Ok(());
        }
        let done = self.writer.done.recv();
        let done = done.map_err(|_| self.panicked());
        done.and_then(|done| self.take_note(done))
    }

    fn take_note(
        &mut self,
        (written, room): (Result<(), ProcessorError>, Changes),
    ) -> Result<(), ProcessorError> {
        let Some(Writing { changes, place }) = self.writing.take() else { return Ok(()) };
        written?;
        self.written = Some(place);
        self.over = Some(changes);
        self.room = room;
        Ok(())
    }

    fn panicked(&mut self) -> ProcessorError {
        self.writing = None;
        self.state.failure("the thread that writes it panicked")
    }

    /// What is being written, and `committed` where it does not touch it.
    fn or<T>(
        &self,
        written: impl Fn(&Changes) -> Option<T>,
        committed: impl FnOnce() -> Result<Option<T>, ProcessorError>,
    ) -> Result<Option<T>, ProcessorError> {
        match self.writing.as_ref().and_then(|writing| written(&writing.changes)) {
            Some(value) => Ok(Some(value)),
            None => committed(),
        }
    }
}

impl Memory for Disk {
    type Error = ProcessorError;

    fn visitor(&self, key: VisitorKey) -> Result<Option<Arc<VisitorState>>, ProcessorError> {
        self.or(|changes| changes.visitors.get(&key).cloned(), || self.state.visitor(key))
    }

    fn seen(&self, generation: i64, id: Uuid) -> Result<Option<Note>, ProcessorError> {
        self.or(|changes| changes.seen.get(&(generation, id)).copied(), || self.state.seen(generation, id))
    }

    fn rate(&self, key: &RateKey) -> Result<Option<Rate>, ProcessorError> {
        self.or(|changes| changes.rates.get(key).copied(), || self.state.rate(key))
    }

    fn due(&self, clock_ms: i64) -> Result<Due, ProcessorError> {
        let committed = self.state.due(clock_ms)?;
        // Whether they were written already makes no difference.
        Ok(match &self.writing {
            Some(writing) => committed.with(&writing.changes.waits, clock_ms),
            None => committed,
        })
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Whoever opens the partition next must not find a commit under way.
        if let Err(error) = self.wait() {
            tracing::error!(%error, "what attribution remembers was not written");
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::ids::LinkId;

    use super::super::state::StateStore;
    use super::*;

    /// So many that writing them takes longer than looking for one.
    const MANY: u128 = 20_000;

    fn key(number: u128) -> VisitorKey {
        VisitorKey(number.to_le_bytes())
    }

    fn rate_key() -> RateKey {
        (LinkId(Uuid::nil()), "10.0.0.0".to_owned())
    }

    /// A mark on every visitor, id and rate.
    fn changes(mark: u8) -> Changes {
        let mut changes = Changes::default();
        for number in 0..MANY {
            let state = VisitorState { identities: vec![VisitorKey([mark; 16])], ..VisitorState::default() };
            changes.visitors.insert(key(number), Arc::new(state));
            changes.seen.insert((1, Uuid::from_u128(number)), [mark; 16]);
        }
        changes.rates.insert(rate_key(), Rate { minute: 1, clicks: mark.into() });
        changes.waits.insert((i64::from(mark), key(1)), true);
        changes
    }

    /// Fails unless all that is asked for bears `mark`.
    fn check(disk: &Disk, mark: u8) {
        for number in [0, MANY / 2, MANY - 1] {
            let state = disk.visitor(key(number)).unwrap().expect("it was written");
            assert_eq!(state.identities, [VisitorKey([mark; 16])]);
            assert_eq!(disk.seen(1, Uuid::from_u128(number)).unwrap(), Some([mark; 16]));
        }
        assert_eq!(disk.rate(&rate_key()).unwrap().map(|rate| rate.clicks), Some(mark.into()));
    }

    fn opened(store: &StateStore) -> Disk {
        Disk::new(store.partition("events", 0).unwrap()).unwrap()
    }

    #[test]
    fn what_is_being_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let store = StateStore::open(dir.path(), 1 << 20).unwrap();
        let mut disk = opened(&store);
        let mut is_caught = false;
        for mark in 1..=5 {
            let mut changes = changes(mark);
            // What the one before added comes to its end.
            changes.waits.insert((i64::from(mark) - 1, key(1)), false);
            let room = disk.begin(changes, Place::at(mark.into())).unwrap();
            assert!(room.is_empty());
            check(&disk, mark);
            let (until_ms, next_ms) = (i64::from(mark), None);
            assert_eq!(disk.due(9).unwrap(), Due { now: vec![(until_ms, key(1))], next_ms });
            is_caught |= Arc::strong_count(&disk.writing.as_ref().unwrap().changes) > 1;
        }
        assert!(is_caught, "all were written before anything was read");
        disk.wait().unwrap();
        assert_eq!(disk.settle(|_| 0).unwrap(), Some(Place::at(5)));
        assert_eq!(disk.settle(|_| 0).unwrap(), None);
        check(&disk, 5);
    }

    #[test]
    fn who_closes_it_waits() {
        let dir = tempfile::tempdir().unwrap();
        let store = StateStore::open(dir.path(), 1 << 20).unwrap();
        for mark in 1..=3 {
            let mut disk = opened(&store);
            let before = i64::from(mark) - 1;
            assert_eq!(disk.state.opened_at.clone(), (before > 0).then(|| Place::at(before)));
            disk.begin(changes(mark), Place::at(mark.into())).unwrap();
        }
        check(&opened(&store), 3);
    }

    #[test]
    fn old_ids_are_forgotten_once_it_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let store = StateStore::open(dir.path(), 1 << 20).unwrap();
        let mut disk = opened(&store);
        disk.begin(changes(1), Place::default()).unwrap();
        let mut later = changes(2);
        later.seen = (0..MANY).map(|number| ((2, Uuid::from_u128(number)), [2; 16])).collect();
        disk.begin(later, Place::default()).unwrap();
        assert_eq!(disk.seen(1, Uuid::nil()).unwrap(), Some([1; 16]));
        // The second is still being written, most likely.
        disk.settle(|_| 2).unwrap();
        drop(disk);
        let disk = opened(&store);
        assert_eq!(disk.seen(1, Uuid::nil()).unwrap(), None);
        assert_eq!(disk.seen(2, Uuid::nil()).unwrap(), Some([2; 16]));
    }
}
