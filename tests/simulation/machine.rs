//! Processors as they run in production, but on disks and a Kafka made of
//! maps: they crash, move, and lose their disks whenever the seed says so.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::Arc;

use domain::attribution::memory::{Changes, Due, Memory, Note, Rate, RateKey, VisitorState};
use domain::attribution::{Context, Emitted, Partition, Place};
use domain::command::Credit;
use domain::event::Event;
use domain::ids::VisitorKey;
use domain::refund::Refund;
use uuid::Uuid;

use tests::Random;

use crate::history::{HOUR_MS, History};

const MACHINES: usize = 2;

/// What a machine has on disk of a partition.
#[derive(Clone, Default)]
struct Disk {
    place: Place,
    visitors: HashMap<VisitorKey, Arc<VisitorState>>,
    seen: HashMap<(i64, Uuid), Note>,
    rates: HashMap<RateKey, Rate>,
    waits: BTreeMap<(i64, VisitorKey), ()>,
}

impl Memory for Disk {
    type Error = Infallible;

    fn visitor(&self, key: VisitorKey) -> Result<Option<Arc<VisitorState>>, Infallible> {
        Ok(self.visitors.get(&key).cloned())
    }

    fn seen(&self, generation: i64, id: Uuid) -> Result<Option<Note>, Infallible> {
        Ok(self.seen.get(&(generation, id)).copied())
    }

    fn rate(&self, key: &RateKey) -> Result<Option<Rate>, Infallible> {
        Ok(self.rates.get(key).copied())
    }

    fn due(&self, clock_ms: i64) -> Result<Due, Infallible> {
        let now = self.waits.keys().copied().take_while(|(until_ms, _)| *until_ms <= clock_ms).collect();
        let next_ms = self.waits.keys().map(|(until_ms, _)| *until_ms).find(|until_ms| *until_ms > clock_ms);
        Ok(Due { now, next_ms })
    }
}

impl Disk {
    fn commit(&mut self, changes: Changes, place: Place, oldest_generation: i64) {
        for (key, state) in changes.visitors {
            if state.is_empty() {
                self.visitors.remove(&key);
            } else {
                self.visitors.insert(key, state);
            }
        }
        self.seen.extend(changes.seen);
        self.seen.retain(|(generation, _), _| *generation >= oldest_generation);
        self.rates.extend(changes.rates);
        for (wait, is_added) in changes.waits {
            if is_added {
                self.waits.insert(wait, ());
            } else {
                self.waits.remove(&wait);
            }
        }
        self.place = place;
    }
}

/// A partition at work on some machine.
struct Live {
    fold: Partition,
    next: usize,
    /// What was applied and emitted, and is not on disk yet.
    changes: Changes,
}

/// All machines, Kafka, and what Postgres knows of attribution.
pub(crate) struct Cluster {
    /// The topic `events`, by partition.
    pub(crate) logs: Vec<Vec<Event>>,
    /// The topic `credits`.
    pub(crate) credits: Vec<Credit>,
    /// Refunds on the same topic.
    pub(crate) refunds: Vec<Refund>,
    pub(crate) crashes: usize,
    pub(crate) losses: usize,
    /// By partition, then machine.
    disks: Vec<[Disk; MACHINES]>,
    owners: Vec<usize>,
    live: Vec<Option<Live>>,
    emitted_to: Vec<usize>,
    /// What each offset led to when it was first applied.
    first_lives: HashMap<(usize, usize), Vec<Emitted>>,
}

/// Where a processor dies.
#[derive(Clone, Copy, PartialEq)]
enum Crash {
    No,
    BeforeEmitting,
    WhileEmitting,
    BeforeCommit,
    AfterCommit,
}

impl Cluster {
    pub(crate) fn new(history: &History) -> Self {
        let count = history.partitions;
        Self {
            logs: vec![Vec::new(); count],
            credits: Vec::new(),
            refunds: Vec::new(),
            crashes: 0,
            losses: 0,
            disks: vec![Default::default(); count],
            owners: vec![0; count],
            live: (0..count).map(|_| None).collect(),
            emitted_to: vec![0; count],
            first_lives: HashMap::new(),
        }
    }

    fn partition_of(&self, key: VisitorKey) -> usize {
        usize::from(key.0[0]) % self.logs.len()
    }

    fn append(&mut self, event: Event) {
        let partition = self.partition_of(event.visitor);
        self.logs[partition].push(event);
    }

    /// Lets the history happen, then lets all that waits come to its end.
    pub(crate) fn run(&mut self, history: &History, random: &mut Random) -> Result<(), String> {
        let mut stream = history.stream.iter();
        loop {
            match random.below(3) {
                0 => {
                    let Some(event) = stream.next() else { break };
                    self.append(event.clone());
                }
                _ => self.work(history, random)?,
            }
        }
        // Waits that are over lead to others' waits; four are more than enough.
        let mut now_ms = history.end_ms;
        for _ in 0..4 {
            for wait_ms in [history.policy.hold_ms, history.policy.parking_ms] {
                now_ms += wait_ms + HOUR_MS;
                for log in &mut self.logs {
                    log.push(Event::tick(now_ms));
                }
                self.catch_up(history, random)?;
            }
        }
        Ok(())
    }

    fn catch_up(&mut self, history: &History, random: &mut Random) -> Result<(), String> {
        while (0..self.logs.len()).any(|partition| !self.is_at_end(partition)) {
            self.work(history, random)?;
        }
        Ok(())
    }

    fn is_at_end(&self, partition: usize) -> bool {
        let next = self.live[partition].as_ref().map(|live| live.next);
        next == Some(self.logs[partition].len())
    }

    /// Some partition does some work, or comes to grief.
    fn work(&mut self, history: &History, random: &mut Random) -> Result<(), String> {
        let partition = random.below(self.logs.len());
        match random.below(40) {
            0 => self.live[partition] = None,
            1 => {
                self.live[partition] = None;
                self.owners[partition] = random.below(MACHINES);
            }
            2 => {
                self.live[partition] = None;
                self.disks[partition][self.owners[partition]] = Disk::default();
                self.losses += 1;
            }
            3 => self.record(partition),
            _ => {
                let crash = match random.below(24) {
                    0 => Crash::BeforeEmitting,
                    1 => Crash::WhileEmitting,
                    2 => Crash::BeforeCommit,
                    3 => Crash::AfterCommit,
                    _ => Crash::No,
                };
                return self.process(history, partition, 1 + random.below(6), crash);
            }
        }
        Ok(())
    }

    /// Postgres is told how far emission has come.
    fn record(&mut self, partition: usize) {
        if let Some(live) = &self.live[partition] {
            self.emitted_to[partition] = self.emitted_to[partition].max(live.next);
        }
    }

    fn process(
        &mut self,
        history: &History,
        partition: usize,
        count: usize,
        crash: Crash,
    ) -> Result<(), String> {
        let disk = &mut self.disks[partition][self.owners[partition]];
        let live = self.live[partition].get_or_insert_with(|| {
            let next = usize::try_from(disk.place.resume_offset()).expect("not below 0");
            Live { fold: Partition::new(&disk.place), next, changes: Changes::default() }
        });
        let log = &self.logs[partition];
        let until = (live.next + count).min(log.len());
        let mut emitted = Vec::new();
        for (offset, event) in log.iter().enumerate().take(until).skip(live.next) {
            let mut now = Vec::new();
            let mut context = Context {
                memory: disk,
                changes: &mut live.changes,
                rules: &history.rules,
                policy: &history.policy,
                emitted: &mut now,
            };
            let place = i64::try_from(offset).expect("short logs");
            let Ok(()) = live.fold.apply(place, event.clone(), &mut context);
            let first = self.first_lives.entry((partition, offset)).or_insert_with(|| now.clone());
            // What is read again for the sake of what was held leads to nothing.
            let is_fine = if place < disk.place.next_offset { now.is_empty() } else { *first == now };
            if !is_fine {
                return Err(format!("offset {offset} of {partition} led to {first:#?}, then to {now:#?}"));
            }
            if offset >= self.emitted_to[partition] {
                emitted.extend(now);
            }
        }
        if crash == Crash::WhileEmitting {
            emitted.truncate(emitted.len() / 2);
        }
        if crash != Crash::BeforeEmitting {
            for emitted in emitted {
                match emitted {
                    Emitted::Credit(credit) => self.credits.push(credit),
                    Emitted::Refund(refund) => self.refunds.push(refund),
                    Emitted::Event(event) => self.append(event),
                }
            }
        }
        let live = self.live[partition].as_mut().expect("just at work");
        live.next = until;
        // Commits come now and then.
        if crash == Crash::AfterCommit || (crash == Crash::No && count.is_multiple_of(2)) {
            let disk = &mut self.disks[partition][self.owners[partition]];
            let place = live.fold.place();
            let oldest_generation = history.policy.oldest_generation(place.clock_ms);
            disk.commit(std::mem::take(&mut live.changes), place, oldest_generation);
        }
        if crash != Crash::No {
            self.crashes += 1;
            self.live[partition] = None;
        }
        Ok(())
    }
}
