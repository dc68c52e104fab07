//! The thread that writes: what waits is written together and synced once.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::{mpsc, oneshot};

use super::segment::MAGIC;
use super::{SEGMENT_BYTES, Segment, Shared, SpoolError};

/// Appends that share one sync, at most.
const MAX_GROUP: usize = 4_096;

/// What the writer is asked for.
pub(super) enum Request {
    /// Write these bytes, and say when they are on disk.
    Append { bytes: Vec<u8>, records: u64, done: oneshot::Sender<Result<(), SpoolError>> },
    /// Delete this segment, if nothing has been appended since it was drained.
    Retire(u64),
}

/// An append that is being written.
struct Waiting {
    records: u64,
    done: oneshot::Sender<Result<(), SpoolError>>,
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    requests: mpsc::Receiver<Request>,
    next_number: u64,
    /// Held as long as the writer lives.
    _lock: File,
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        requests: mpsc::Receiver<Request>,
        next_number: u64,
        lock: File,
    ) -> Self {
        Self { shared, requests, next_number, _lock: lock }
    }

    /// Until nobody can ask any more.
    pub(super) fn run(mut self) {
        let mut requests = Vec::new();
        while self.requests.blocking_recv_many(&mut requests, MAX_GROUP) > 0 {
            let mut group = Vec::new();
            let mut waiting = Vec::new();
            for request in requests.drain(..) {
                match request {
                    Request::Retire(number) => self.retire(number),
                    Request::Append { bytes, records, done } => {
                        match self.room_for(group.len() + bytes.len()) {
                            Ok(()) => {
                                group.extend_from_slice(&bytes);
                                waiting.push(Waiting { records, done });
                            }
                            Err(full) => answer(done, Err(full)),
                        }
                    }
                }
            }
            if !waiting.is_empty() {
                self.commit(&group, waiting);
            }
        }
    }

    fn room_for(&self, more: usize) -> Result<(), SpoolError> {
        let (bytes, max_bytes) = (self.shared.state().bytes, self.shared.settings.max_bytes);
        if bytes + (MAGIC.len() + more) as u64 > max_bytes { Err(SpoolError::Full(bytes)) } else { Ok(()) }
    }

    fn commit(&mut self, group: &[u8], waiting: Vec<Waiting>) {
        let records = waiting.iter().map(|append| append.records).sum();
        let written = self.write(group, records);
        if written.is_ok() {
            self.shared.appended.notify_waiters();
        }
        if let Err(error) = &written {
            metrics::counter!("tributary_spool_errors_total").increment(1);
            tracing::error!(%error, appends = waiting.len(), "the spool does not take events");
        }
        for append in waiting {
            answer(append.done, written.clone());
        }
    }

    /// Writes and syncs; on trouble the segment is left as it was, and closed.
    fn write(&mut self, group: &[u8], records: u64) -> Result<(), SpoolError> {
        let failed = |error: std::io::Error| SpoolError::Disk(error.to_string());
        let (number, file, at) = self.active().map_err(failed)?;
        let synced = file.write_all_at(group, at).and_then(|()| file.sync_data());
        let mut state = self.shared.state();
        if let Err(error) = synced {
            // After a failed sync nobody knows what the disk has; a record that
            // was refused must not turn up later, so the file is cut.
            if let Err(error) = file.set_len(at).and_then(|()| file.sync_all()) {
                tracing::error!(%error, "a spool file cannot be cut; refused events in it may reach Kafka");
            }
            state.active = None;
            // What it holds is in Kafka already, or it never held anything: a
            // disk that is full must not fill with files of nothing.
            state.remove_drained(number);
            return Err(failed(error));
        }
        self.shared.backlog.fetch_add(records, Ordering::AcqRel);
        let size = group.len() as u64;
        state.bytes += size;
        let closes = at + size >= SEGMENT_BYTES;
        if let Some(segment) = state.segments.iter_mut().find(|segment| segment.number == number) {
            segment.bytes += size;
        }
        if closes {
            state.active = None;
        }
        Ok(())
    }

    /// The segment that is written to, made if there is none; its number, its
    /// file and its length.
    fn active(&mut self) -> std::io::Result<(u64, File, u64)> {
        let mut state = self.shared.state();
        let active = state.active;
        if let Some(segment) = state.segments.iter().find(|segment| Some(segment.number) == active) {
            return Ok((segment.number, segment.file.try_clone()?, segment.bytes));
        }
        let dir = &self.shared.settings.dir;
        let number = self.next_number;
        let path = dir.join(format!("{number:020}.segment"));
        let file = File::options().create_new(true).read(true).write(true).open(&path)?;
        self.next_number += 1;
        // The name must be on disk as well as the content.
        let made = file.write_all_at(MAGIC, 0).and_then(|()| File::open(dir)?.sync_all());
        if let Err(error) = made {
            std::fs::remove_file(&path).ok();
            return Err(error);
        }
        let bytes = MAGIC.len() as u64;
        let shared_file = file.try_clone()?;
        let since = file.metadata()?.modified()?;
        state.bytes += bytes;
        state.active = Some(number);
        state.segments.push_back(Segment { number, path, file: shared_file, bytes, drained: bytes, since });
        Ok((number, file, bytes))
    }

    fn retire(&self, number: u64) {
        let mut state = self.shared.state();
        if state.remove_drained(number) && state.active == Some(number) {
            state.active = None;
        }
    }
}

fn answer(done: oneshot::Sender<Result<(), SpoolError>>, result: Result<(), SpoolError>) {
    // Whoever asked may have gone; what is written stays written.
    done.send(result).ok();
}
