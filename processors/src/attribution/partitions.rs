//! The partitions that this process has: opened when they come, from local
//! state or by reading the log again; closed when they go.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use domain::attribution::memory::Changes;
use domain::attribution::{Context, Emitted, MAX_WINDOW_MS, Partition, Place, Policy, Sparse};
use domain::rules::Rules;
use runtime::clock::now_ms;
use runtime::consumer::PartitionOwner;
use runtime::progress::Progress;
use runtime::retry::Backoff;
use runtime::shutdown::CancellationToken;
use store::Pool;
use tokio::runtime::Handle;

use super::AttributionSettings;
use super::disk::Disk;
use super::state::StateStore;
use crate::ProcessorError;

/// How often positions go to Postgres, and progress to the log.
const RECORD_EVERY: Duration = Duration::from_secs(2);

/// Changes go to disk when there are this many, or after this long. Many go
/// together, for most touch what was touched just before; after a crash, what
/// was not on disk is read again from Kafka.
const COMMIT_AT: usize = 100_000;
const COMMIT_EVERY: Duration = Duration::from_secs(1);

/// A partition that holds due events is told the time again after this, should
/// the first message be slow to come back.
const TELL_AGAIN_MS: i64 = 2_000;

/// A partition at work.
pub(super) struct Open {
    fold: Partition,
    /// What the offsets before this one lead to was emitted in an earlier life.
    emitted_to: i64,
    /// When the last batch was applied.
    applied_at: Instant,
    /// When the partition was last told the time.
    told_ms: i64,
    disk: Disk,
    changes: Changes,
    /// Where the disk stands,
    committed: Place,
    /// where the last commit stands, which may be on its way, and since when.
    begun_to: i64,
    begun_at: Instant,
    /// What Postgres knows of how far emission has come.
    recorded_to: i64,
    /// Where state that is built anew will be complete.
    rebuilt_at: Option<i64>,
}

impl Open {
    /// Applies a batch's events; gives what is to be emitted. A batch that was
    /// read before the partition was opened once more, and has a gap before it
    /// now, is passed over: it is read again.
    pub(super) fn apply(
        &mut self,
        events: Vec<(i64, Box<Sparse>)>,
        first_offset: i64,
        next_offset: i64,
        rules: &Rules,
        policy: &Policy,
    ) -> Result<Vec<Emitted>, ProcessorError> {
        let mut emitted = Vec::new();
        if first_offset > self.fold.reads_from() {
            return Ok(emitted);
        }
        let changes = &mut self.changes;
        let mut context = Context { memory: &self.disk, changes, rules, policy, emitted: &mut emitted };
        for (offset, event) in events {
            let before = context.emitted.len();
            self.fold.apply(offset, event, &mut context)?;
            if offset < self.emitted_to {
                context.emitted.truncate(before);
            }
        }
        self.fold.pass(next_offset);
        self.applied_at = Instant::now();
        Ok(emitted)
    }

    /// Whether the partition is to be told that it is `now_ms`: nothing has come
    /// for a while, and something is due. Once told, it is not told again soon.
    pub(super) fn tell(&mut self, now_ms: i64, quiet: Duration, policy: &Policy) -> bool {
        let told_lately = now_ms.saturating_sub(self.told_ms) < TELL_AGAIN_MS;
        let is_on_its_way = told_lately && self.fold.clock_ms() < self.told_ms;
        let tells = self.applied_at.elapsed() >= quiet && !is_on_its_way && self.fold.is_due(now_ms, policy);
        if tells {
            self.told_ms = now_ms;
        }
        tells
    }

    fn is_time_to_commit(&self, now: bool) -> bool {
        let is_behind = self.fold.next_offset() != self.begun_to;
        is_behind && (now || self.changes.len() >= COMMIT_AT || self.begun_at.elapsed() >= COMMIT_EVERY)
    }

    /// Begins to write down what came of everything that was applied, and
    /// emitted.
    fn commit(&mut self) -> Result<(), ProcessorError> {
        let (place, changes) = (self.fold.place(), std::mem::take(&mut self.changes));
        self.begun_to = place.next_offset;
        self.begun_at = Instant::now();
        self.changes = self.disk.begin(changes, place)?;
        Ok(())
    }

    /// Takes note of a commit that has come to its end; whether one has.
    fn settle(&mut self, policy: &Policy) -> Result<bool, ProcessorError> {
        let written = self.disk.settle(|clock_ms| policy.oldest_generation(clock_ms))?;
        let is_news = written.is_some();
        if let Some(place) = written {
            self.committed = place;
        }
        Ok(is_news)
    }
}

/// The partitions this process has, with their state.
pub(super) struct Partitions {
    store: StateStore,
    settings: AttributionSettings,
    pool: Pool,
    handle: Handle,
    stop: CancellationToken,
    open: Mutex<HashMap<i32, Open>>,
    /// Where each would resume; apart, since a batch is applied, and a commit
    /// waited for, with `open` locked, and reading asks before every poll.
    resume: Mutex<HashMap<i32, i64>>,
    failure: Mutex<Option<ProcessorError>>,
    recorded: Mutex<Instant>,
}

impl Partitions {
    pub(super) fn open(
        settings: &AttributionSettings,
        pool: Pool,
        handle: Handle,
        stop: CancellationToken,
    ) -> Result<Self, ProcessorError> {
        Ok(Self {
            store: StateStore::open(&settings.state_dir, settings.memory_bytes)?,
            settings: settings.clone(),
            pool,
            handle,
            stop,
            open: Mutex::default(),
            resume: Mutex::default(),
            failure: Mutex::default(),
            recorded: Mutex::new(Instant::now()),
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, HashMap<i32, Open>> {
        self.open.lock().expect("no panic while held")
    }

    /// Whether some partition is to be committed; `now`, if it has anything.
    pub(super) fn is_time_to_commit(&self, now: bool) -> bool {
        self.lock().values().any(|open| open.is_time_to_commit(now))
    }

    /// Begins to commit every partition that has anything.
    pub(super) fn commit(&self) -> Result<(), ProcessorError> {
        let mut all = self.lock();
        all.values_mut().filter(|open| open.is_time_to_commit(true)).try_for_each(Open::commit)
    }

    /// Takes note of commits that have come to their end.
    pub(super) fn settle(&self) -> Result<(), ProcessorError> {
        for (partition, open) in self.lock().iter_mut() {
            if open.settle(&self.settings.policy)? {
                self.set_resume(*partition, open);
            }
        }
        Ok(())
    }

    /// Closes all, without what is not being committed yet.
    pub(super) fn close(&self) -> Result<(), ProcessorError> {
        let mut all = self.lock();
        let closed = all.values_mut().try_for_each(|open| open.disk.wait());
        all.clear();
        closed
    }

    /// Waits until every commit has come to its end.
    pub(super) fn finish(&self) -> Result<(), ProcessorError> {
        self.lock().values_mut().try_for_each(|open| open.disk.wait())?;
        self.settle()
    }

    fn set_resume(&self, partition: i32, open: &Open) {
        let resume_offset = open.committed.resume_offset();
        self.resume.lock().expect("no panic while held").insert(partition, resume_offset);
    }

    /// Fails if a partition could not be opened.
    pub(super) fn check(&self) -> Result<(), ProcessorError> {
        self.failure.lock().expect("no panic while held").take().map_or(Ok(()), Err)
    }

    /// Writes to Postgres how far emission has come; unless `is_last`, only now
    /// and then. If it fails, the next time will do.
    pub(super) fn record(&self, is_last: bool) {
        let mut recorded = self.recorded.lock().expect("no panic while held");
        if !is_last && recorded.elapsed() < RECORD_EVERY {
            return;
        }
        *recorded = Instant::now();
        let mut positions = Vec::new();
        for (partition, open) in self.lock().iter_mut() {
            show_progress(*partition, open);
            if open.committed.next_offset > open.recorded_to {
                positions.push((*partition, open.committed.next_offset));
            }
        }
        let topic = &self.settings.topics.events;
        if let Err(error) = self.handle.block_on(store::offsets::save_emitted(&self.pool, topic, &positions))
        {
            tracing::warn!(%error, "cannot note how far attribution has come");
            return;
        }
        let mut all = self.lock();
        for (partition, offset) in positions {
            if let Some(open) = all.get_mut(&partition) {
                open.recorded_to = offset;
            }
        }
    }

    fn try_open(&self, partition: i32) -> Result<i64, ProcessorError> {
        let topic = &self.settings.topics.events;
        let mut state = self.store.partition(topic, partition)?;
        let emitted_to = self.emitted_to(partition);
        let progress = Progress::new(&self.settings.brokers, &self.settings.group)?;
        let (start, end) = progress.bounds(topic, partition)?;
        if emitted_to > end {
            return Err(ProcessorError::Position { topic: topic.clone(), partition, emitted_to, end });
        }
        // Every commit copies what it is written with, and this may be long.
        let opened_at = state.opened_at.take();
        let rebuilt_at = opened_at.is_none().then_some(emitted_to);
        let place = match opened_at {
            Some(place) => place,
            None => Place::at(self.first_needed(&progress, partition, start)?),
        };
        let fold = Partition::new(&place);
        let open = Open {
            fold,
            emitted_to,
            applied_at: Instant::now(),
            told_ms: 0,
            disk: Disk::new(state)?,
            changes: Changes::default(),
            begun_to: place.next_offset,
            begun_at: Instant::now(),
            committed: place,
            recorded_to: emitted_to,
            rebuilt_at,
        };
        let begin = open.fold.reads_from();
        self.set_resume(partition, &open);
        self.lock().insert(partition, open);
        Ok(begin)
    }

    /// How far emission has surely come; waits for Postgres, unless told to
    /// stop.
    fn emitted_to(&self, partition: i32) -> i64 {
        let mut backoff = Backoff::default();
        loop {
            let topic = &self.settings.topics.events;
            match self.handle.block_on(store::offsets::emitted_to(&self.pool, topic, partition)) {
                Ok(offset) => return offset,
                Err(error) => tracing::warn!(partition, %error, "cannot read how far attribution has come"),
            }
            if self.stop.is_cancelled() {
                return 0;
            }
            std::thread::sleep(backoff.next_wait());
        }
    }

    /// Where to begin when there is no state: far enough back that all that an
    /// action of now may depend on is read.
    fn first_needed(&self, progress: &Progress, partition: i32, start: i64) -> Result<i64, ProcessorError> {
        let Policy { hold_ms, lateness_ms, parking_ms, .. } = self.settings.policy;
        let back_ms = [hold_ms, lateness_ms, parking_ms].into_iter().fold(MAX_WINDOW_MS, i64::saturating_add);
        let since_ms = now_ms().saturating_sub(back_ms);
        let first = progress.offset_since(&self.settings.topics.events, partition, since_ms)?;
        Ok(first.unwrap_or(start).max(start))
    }
}

impl PartitionOwner for Partitions {
    fn assigned(&self, partition: i32) -> i64 {
        self.try_open(partition).unwrap_or_else(|error| {
            // The loop sees it before it works on anything.
            *self.failure.lock().expect("no panic while held") = Some(error);
            0
        })
    }

    fn revoked(&self, partition: i32) {
        // What is not committed may not have reached Kafka; whoever has the
        // partition next reads it again.
        let closed = self.lock().remove(&partition).map_or(Ok(()), |mut open| open.disk.wait());
        if let Err(error) = closed {
            *self.failure.lock().expect("no panic while held") = Some(error);
        }
        self.resume.lock().expect("no panic while held").remove(&partition);
    }

    fn position(&self, partition: i32, read_to: i64) -> i64 {
        self.resume.lock().expect("no panic while held").get(&partition).copied().unwrap_or(read_to)
    }
}

/// Says how far state has come that is being built anew.
fn show_progress(partition: i32, open: &mut Open) {
    let Some(end) = open.rebuilt_at else { return };
    let offset = open.fold.next_offset();
    if offset < end {
        let percent = offset.saturating_mul(100) / end.max(1);
        tracing::info!(partition, offset, end, percent, "building the state anew");
    } else {
        open.rebuilt_at = None;
        if end > 0 {
            tracing::info!(partition, offset, "the state is built");
        }
    }
}
