//! Events that Kafka does not take in time, kept on this machine's disk until
//! it does.
//!
//! An append is answered once it is on disk: one thread writes what is waiting
//! together and syncs once for all of it. Records are read in the order of
//! their appends, and a segment's file is deleted when Kafka has all of it. A
//! start reads the files that are there; it never writes into them.
//!
//! At most `max_bytes` of files are kept; an append beyond is refused. A disk
//! that refuses a write, or a sync, refuses the appends that waited for it:
//! what may or may not be on disk is not counted as there.

mod segment;
mod writer;

use std::collections::VecDeque;
use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use tokio::sync::{Notify, mpsc, oneshot};

pub(crate) use segment::Record;
use writer::{Request, Writer};

/// Appends that may wait for the disk at a time.
const MAX_WAITING: usize = 20_000;
/// A segment's file is closed when it is larger than this.
const SEGMENT_BYTES: u64 = 8 << 20;

/// Where the spool is and how large it may get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolSettings {
    /// Its directory; made if missing. One process at a time.
    pub dir: PathBuf,
    /// All its files together.
    pub max_bytes: u64,
}

/// Why a record is not in the spool.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpoolError {
    /// It holds as much as it may.
    #[error("the spool is full ({0} bytes)")]
    Full(u64),
    /// Too many appends wait for the disk.
    #[error("the spool's disk does not keep up")]
    Busy,
    /// The disk refuses.
    #[error("the spool's disk refuses: {0}")]
    Disk(String),
    /// The directory cannot be used.
    #[error("spool directory {path}: {message}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why not.
        message: String,
    },
}

/// One file.
#[derive(Debug)]
struct Segment {
    number: u64,
    path: PathBuf,
    file: File,
    /// How much of it is whole and synced.
    bytes: u64,
    /// How much of it Kafka has.
    drained: u64,
    /// When its first record was appended.
    since: SystemTime,
}

/// What the writer and the reader share.
#[derive(Debug)]
struct State {
    segments: VecDeque<Segment>,
    /// The segment that is written to, if there is one.
    active: Option<u64>,
    /// Bytes of all files.
    bytes: u64,
}

#[derive(Debug)]
struct Shared {
    settings: SpoolSettings,
    state: Mutex<State>,
    /// Records that Kafka does not have. Changed only with the state locked;
    /// read on every request.
    backlog: AtomicU64,
    appended: Notify,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while held")
    }
}

/// The spool. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Spool {
    shared: Arc<Shared>,
    requests: mpsc::Sender<Request>,
}

/// Records from the front of the spool.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) records: Vec<Record>,
    segment: u64,
    until: u64,
}

impl Spool {
    /// Opens the spool, with whatever an earlier process left in it.
    ///
    /// # Errors
    /// When the directory cannot be made, read, or is another process's.
    pub(crate) fn open(settings: SpoolSettings) -> Result<Self, SpoolError> {
        let failed = |error: std::io::Error| SpoolError::Directory {
            path: settings.dir.clone(),
            message: error.to_string(),
        };
        std::fs::create_dir_all(&settings.dir).map_err(failed)?;
        let lock = lock(&settings.dir).map_err(failed)?;
        let (state, backlog) = read_segments(&settings.dir).map_err(failed)?;
        if backlog > 0 {
            tracing::warn!(events = backlog, bytes = state.bytes, "events from before wait in the spool");
        }
        let next_number = state.segments.back().map_or(0, |segment| segment.number + 1);
        let (state, backlog) = (Mutex::new(state), AtomicU64::new(backlog));
        let shared = Arc::new(Shared { settings, state, backlog, appended: Notify::new() });
        let (requests, waiting) = mpsc::channel(MAX_WAITING);
        let writer = Writer::new(Arc::clone(&shared), waiting, next_number, lock);
        std::thread::Builder::new().name("spool".to_owned()).spawn(move || writer.run()).map_err(
            |error| SpoolError::Directory { path: shared.settings.dir.clone(), message: error.to_string() },
        )?;
        Ok(Self { shared, requests })
    }

    /// Whether everything that was ever appended is in Kafka.
    pub(crate) fn is_empty(&self) -> bool {
        self.backlog() == 0
    }

    /// Records that Kafka does not have.
    pub(crate) fn backlog(&self) -> u64 {
        self.shared.backlog.load(Ordering::Acquire)
    }

    /// Bytes of all files.
    pub(crate) fn bytes(&self) -> u64 {
        self.shared.state().bytes
    }

    /// How long the oldest file has been waiting.
    pub(crate) fn age(&self) -> Duration {
        let state = self.shared.state();
        let since = state.segments.front().filter(|_| !self.is_empty()).map(|segment| segment.since);
        since.and_then(|since| since.elapsed().ok()).unwrap_or_default()
    }

    /// Appends records, in order, and waits until they are on disk. All of them
    /// are, or none counts.
    ///
    /// # Errors
    /// When the spool is full or its disk refuses.
    pub(crate) async fn append(&self, records: &[Record]) -> Result<(), SpoolError> {
        let mut bytes = Vec::new();
        for record in records {
            record.encode(&mut bytes);
        }
        let (done, answer) = oneshot::channel();
        let request = Request::Append { bytes, records: records.len() as u64, done };
        self.requests.try_send(request).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => SpoolError::Busy,
            mpsc::error::TrySendError::Closed(_) => SpoolError::Disk("its writer has ended".to_owned()),
        })?;
        answer.await.unwrap_or_else(|_| Err(SpoolError::Disk("its writer has ended".to_owned())))
    }

    /// Waits until there is something to read.
    pub(crate) async fn wait(&self) {
        loop {
            let appended = self.shared.appended.notified();
            if !self.is_empty() {
                return;
            }
            appended.await;
        }
    }

    /// Up to `max_bytes` of records from the front (at least one); none if the
    /// spool is empty. Reads from disk.
    ///
    /// # Errors
    /// When the disk cannot be read, or does not give back what was written.
    pub(crate) fn front(&self, max_bytes: u64) -> std::io::Result<Option<Chunk>> {
        let state = self.shared.state();
        let Some(segment) = state.segments.iter().find(|segment| segment.drained < segment.bytes) else {
            return Ok(None);
        };
        let left = segment.bytes - segment.drained;
        let mut size = left.min(max_bytes);
        loop {
            let bytes = segment.read(size)?;
            let (mut at, mut records) = (0, Vec::new());
            while let Some((record, length)) = segment::next_record(&bytes[at..]) {
                records.push(record);
                at += length;
            }
            if !records.is_empty() {
                return Ok(Some(Chunk {
                    records,
                    segment: segment.number,
                    until: segment.drained + at as u64,
                }));
            }
            if size == left {
                let text = format!(
                    "{}: not what was written, from byte {}",
                    segment.path.display(),
                    segment.drained
                );
                return Err(std::io::Error::new(ErrorKind::InvalidData, text));
            }
            // One record that is larger than the chunk.
            size = left.min(size.saturating_mul(2).max(1 << 16));
        }
    }

    /// Says that Kafka has a chunk.
    pub(crate) fn drained(&self, chunk: &Chunk) {
        let mut state = self.shared.state();
        let active = state.active;
        let Some(index) = state.segments.iter().position(|segment| segment.number == chunk.segment) else {
            return;
        };
        state.segments[index].drained = chunk.until;
        self.shared.backlog.fetch_sub(chunk.records.len() as u64, Ordering::AcqRel);
        if state.segments[index].drained < state.segments[index].bytes {
            return;
        }
        if active == Some(chunk.segment) {
            drop(state);
            // Only the writer knows whether it is being appended to just now.
            // If it has no room to be told, the next drained chunk tells it.
            self.requests.try_send(Request::Retire(chunk.segment)).ok();
        } else {
            state.remove(index);
        }
    }

    /// Keeps a letter that no topic takes, in the file `refused.ndjson`.
    ///
    /// # Errors
    /// When the disk refuses it as well.
    pub(crate) fn keep_refused(&self, letter: &[u8]) -> std::io::Result<()> {
        let path = self.shared.settings.dir.join("refused.ndjson");
        let mut file = File::options().create(true).append(true).open(path)?;
        file.write_all(&[letter, b"\n"].concat())?;
        file.sync_data()
    }

    /// Sets a segment aside that cannot be read: its file is kept under another
    /// name, and what it held no longer waits.
    pub(crate) fn set_aside(&self) {
        let mut state = self.shared.state();
        let Some(index) = state.segments.iter().position(|segment| segment.drained < segment.bytes) else {
            return;
        };
        let number = state.segments[index].number;
        if state.active == Some(number) {
            state.active = None;
        }
        let Some(segment) = state.segments.remove(index) else { return };
        state.bytes -= segment.bytes;
        // Its records cannot be counted; what the others hold can.
        let waiting = state.segments.iter().map(Segment::waiting).sum();
        self.shared.backlog.store(waiting, Ordering::Release);
        let aside = segment.path.with_extension("damaged");
        let renamed = std::fs::rename(&segment.path, &aside);
        metrics::counter!("tributary_spool_damaged_segments_total").increment(1);
        tracing::error!(
            file = %aside.display(), drained = segment.drained, bytes = segment.bytes, ?renamed,
            "a spool file does not hold what was written; it is set aside, its events are not in Kafka"
        );
    }
}

impl Segment {
    /// The next `size` bytes that Kafka does not have; fewer where somebody has
    /// cut the file off.
    fn read(&self, size: u64) -> std::io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(size).unwrap_or(usize::MAX)];
        let mut filled = 0;
        while filled < bytes.len() {
            match self.file.read_at(&mut bytes[filled..], self.drained + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    /// Records that Kafka does not have.
    fn waiting(&self) -> u64 {
        let Ok(bytes) = self.read(self.bytes - self.drained) else { return 0 };
        let (mut at, mut records) = (0, 0);
        while let Some((_, length)) = segment::next_record(&bytes[at..]) {
            at += length;
            records += 1;
        }
        records
    }
}

impl State {
    /// Deletes a segment if Kafka has all of it; whether it did.
    fn remove_drained(&mut self, number: u64) -> bool {
        let drained = |segment: &Segment| segment.number == number && segment.drained == segment.bytes;
        let index = self.segments.iter().position(drained);
        index.is_some_and(|index| {
            self.remove(index);
            true
        })
    }

    fn remove(&mut self, index: usize) {
        let Some(segment) = self.segments.remove(index) else { return };
        self.bytes -= segment.bytes;
        if let Err(error) = std::fs::remove_file(&segment.path) {
            // It is drained again at the next start, which nothing downstream
            // minds.
            tracing::warn!(file = %segment.path.display(), %error, "a drained spool file cannot be deleted");
        }
    }
}

/// Holds the directory for this process.
fn lock(dir: &Path) -> std::io::Result<File> {
    let file = File::options().create(true).truncate(false).write(true).open(dir.join("lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            Err(std::io::Error::other("another collector uses it; give each one its own"))
        }
        Err(std::fs::TryLockError::Error(error)) => Err(error),
    }
}

/// The files of an earlier process, and how many records they hold.
fn read_segments(dir: &Path) -> std::io::Result<(State, u64)> {
    let mut state = State { segments: VecDeque::new(), active: None, bytes: 0 };
    let mut backlog = 0;
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let number =
            path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse::<u64>().ok());
        if path.extension().is_some_and(|extension| extension == "segment")
            && let Some(number) = number
        {
            found.push((number, path));
        }
    }
    found.sort();
    for (number, path) in found {
        let content = std::fs::read(&path)?;
        let (whole, records) = segment::whole_part(&content);
        if whole < content.len() {
            tracing::warn!(
                file = %path.display(), whole, dropped = content.len() - whole,
                "a spool file ends within a write that nobody was told had succeeded"
            );
        }
        if records == 0 {
            std::fs::remove_file(&path)?;
            continue;
        }
        let file = File::open(&path)?;
        let since = file.metadata()?.modified()?;
        let bytes = whole as u64;
        backlog += records;
        state.bytes += bytes;
        let drained = segment::MAGIC.len() as u64;
        state.segments.push_back(Segment { number, path, file, bytes, drained, since });
    }
    Ok((state, backlog))
}

#[cfg(test)]
mod tests;
