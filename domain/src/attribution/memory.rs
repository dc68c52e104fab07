//! What attribution remembers of a partition's past, and the changes that a
//! batch makes to it. Reading is the caller's: from disk in production, from a
//! map in the simulation.

use std::collections::BTreeMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use foldhash::HashMap;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{MAX_WINDOW_MS, Policy};
use crate::event::Action;
use crate::ids::{CampaignId, EventId, LinkId, UserId, VisitorKey, hash_uuid};

/// A visitor's clicks beyond this many are forgotten, oldest first.
pub const MAX_TOUCHES: usize = 64;
/// Actions of one visitor that wait for a click; beyond, the oldest is decided.
pub const MAX_PARKED: usize = 64;
/// Visitors of one user, and users of one visitor; beyond, the oldest is
/// forgotten.
pub const MAX_IDENTITIES: usize = 16;

/// A click that can earn something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Touch {
    /// The click.
    pub click: EventId,
    /// Its link.
    pub link: LinkId,
    /// Its campaign.
    pub campaign: CampaignId,
    /// Its creator.
    pub creator: UserId,
    /// The supporter who shared the link, if any.
    pub supporter: Option<UserId>,
    /// When.
    pub at_ms: i64,
    /// Whether it came from nowhere: no referrer.
    pub is_direct: bool,
}

/// An action that waits for its click.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parked {
    /// The action.
    pub action: Action,
    /// When it began to wait, by the partition's clock.
    pub since_ms: i64,
    /// When the wait is over.
    pub until_ms: i64,
}

/// What is remembered under a visitor's key, or under a user's.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VisitorState {
    /// Clicks, in the order of (time, id).
    pub touches: Vec<Touch>,
    /// Actions that wait for a click, in the order of their coming.
    pub parked: Vec<Parked>,
    /// Under a visitor's key: the users that it was; under a user's: the
    /// visitors. The latest last.
    pub identities: Vec<VisitorKey>,
}

/// A copy has room for one more click: most are made to add one.
impl Clone for VisitorState {
    fn clone(&self) -> Self {
        let mut touches = Vec::with_capacity(self.touches.len().saturating_add(1));
        touches.extend_from_slice(&self.touches);
        Self { touches, parked: self.parked.clone(), identities: self.identities.clone() }
    }
}

impl Parked {
    /// How long it has waited when the clock stands there, here and elsewhere.
    pub(super) fn waited_ms(&self, clock_ms: i64) -> Option<i64> {
        let before_ms = self.action.waited_ms.unwrap_or_default();
        Some(clock_ms.saturating_sub(self.since_ms).saturating_add(before_ms))
    }
}

impl VisitorState {
    /// Adds a click, and forgets what is beyond the bounds.
    pub(super) fn touch(&mut self, touch: Touch) {
        let key = |t: &Touch| (t.at_ms, t.click);
        let at = self.touches.partition_point(|t| key(t) < key(&touch));
        // Most visitors have one or two; room for four would be most of what they take.
        if self.touches.len() == self.touches.capacity() {
            self.touches.reserve_exact(1);
        }
        self.touches.insert(at, touch);
        let newest_ms = self.touches.last().map_or(0, |t| t.at_ms);
        let oldest_kept_ms = newest_ms.saturating_sub(MAX_WINDOW_MS);
        self.touches.retain(|t| t.at_ms >= oldest_kept_ms);
        let surplus = self.touches.len().saturating_sub(MAX_TOUCHES);
        self.touches.drain(..surplus);
    }

    /// Adds an identity, as the latest; `false` if it was that already.
    pub(super) fn identify(&mut self, key: VisitorKey) -> bool {
        if self.identities.last() == Some(&key) {
            return false;
        }
        let is_new = !self.identities.contains(&key);
        self.identities.retain(|known| *known != key);
        self.identities.push(key);
        let surplus = self.identities.len().saturating_sub(MAX_IDENTITIES);
        self.identities.drain(..surplus);
        is_new
    }

    /// Whether there is nothing to remember.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Clicks on a link from a network, in the latest minute that had any.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// Minutes since 1970.
    pub minute: i64,
    /// Clicks in it.
    pub clicks: u32,
}

/// Whose rate: a link, and a network as the collector writes it.
pub type RateKey = (LinkId, String);

/// What is noted under an id: of an event, half of its payload's SHA-256, or zeros
/// of a click, which its id alone tells; of an order, the event that reported it.
pub type Note = [u8; 16];

/// The note of an event with this payload hash.
pub(super) fn note_of(payload_hash: &str) -> Note {
    let mut note = [0; 16];
    if payload_hash.is_empty() {
        return note;
    }
    let half = payload_hash.as_bytes().get(..32);
    if half.is_none_or(|half| hex::decode_to_slice(half, &mut note).is_err()) {
        // No SHA-256 in hex: of another make than the collector's.
        note = *hash_uuid("payload", &[payload_hash.as_bytes()]).as_bytes();
    }
    note
}

/// Reads what was committed. Seen ids are kept by generation, so that old ones
/// can be dropped together.
pub trait Memory {
    /// Why it cannot be read.
    type Error;

    /// The state under a key.
    ///
    /// # Errors
    /// When it cannot be read.
    fn visitor(&self, key: VisitorKey) -> Result<Option<Arc<VisitorState>>, Self::Error>;

    /// What was noted under an id in a generation.
    ///
    /// # Errors
    /// When it cannot be read.
    fn seen(&self, generation: i64, id: Uuid) -> Result<Option<Note>, Self::Error>;

    /// The rate of clicks.
    ///
    /// # Errors
    /// When it cannot be read.
    fn rate(&self, key: &RateKey) -> Result<Option<Rate>, Self::Error>;

    /// Keys whose parked actions may have to be decided by `clock_ms`, and
    /// when, in order; and the next time after it.
    ///
    /// # Errors
    /// When it cannot be read.
    fn due(&self, clock_ms: i64) -> Result<Due, Self::Error>;
}

/// Waits that are over, and when the next one will be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Until when, and whose.
    pub now: Vec<(i64, VisitorKey)>,
    /// The end of the next wait.
    pub next_ms: Option<i64>,
}

impl Due {
    /// What it is once `waits` were added and removed, whether or not some of them
    /// were before. None that ends after the clock may be removed.
    #[must_use]
    pub fn with(self, waits: &BTreeMap<(i64, VisitorKey), bool>, clock_ms: i64) -> Self {
        let is_kept = |wait: &(i64, VisitorKey)| waits.get(wait) != Some(&false);
        let mut now: Vec<_> = self.now.into_iter().filter(is_kept).collect();
        let added = |(wait, is_added): (&(i64, VisitorKey), &bool)| is_added.then_some(*wait);
        let beyond = (clock_ms.saturating_add(1), VisitorKey([0; 16]));
        now.extend(waits.range(..beyond).filter_map(added));
        now.sort_unstable();
        now.dedup();
        let added_ms = waits.range(beyond..).find_map(added).map(|(until_ms, _)| until_ms);
        Self { now, next_ms: self.next_ms.into_iter().chain(added_ms).min() }
    }
}

/// What changes. Read through it, then write it at once with the partition's
/// place.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// States by key; an empty one is to be removed.
    pub visitors: HashMap<VisitorKey, Arc<VisitorState>>,
    /// Notes by generation and id.
    pub seen: HashMap<(i64, Uuid), Note>,
    /// Rates of clicks.
    pub rates: HashMap<RateKey, Rate>,
    /// Ends of waits: `true` to add, `false` to remove.
    pub waits: BTreeMap<(i64, VisitorKey), bool>,
}

impl Changes {
    /// How many entries there are to write.
    #[must_use]
    pub fn len(&self) -> usize {
        let Self { visitors, seen, rates, waits } = self;
        [visitors.len(), seen.len(), rates.len(), waits.len()].into_iter().fold(0, usize::saturating_add)
    }

    /// Forgets all, and keeps its room for the next ones.
    pub fn clear(&mut self) {
        let Self { visitors, seen, rates, waits } = self;
        visitors.clear();
        seen.clear();
        rates.clear();
        waits.clear();
    }

    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Memory with changes on top.
pub(super) struct View<'a, M> {
    pub(super) memory: &'a M,
    pub(super) changes: &'a mut Changes,
    pub(super) policy: &'a Policy,
    pub(super) clock_ms: i64,
}

impl<M: Memory> View<'_, M> {
    pub(super) fn visitor(&self, key: VisitorKey) -> Result<Arc<VisitorState>, M::Error> {
        match self.changes.visitors.get(&key) {
            Some(state) => Ok(Arc::clone(state)),
            None => Ok(self.memory.visitor(key)?.unwrap_or_default()),
        }
    }

    /// The state to be changed; to be put back by [`Self::set_visitor`]. What is
    /// among the changes already is not copied.
    pub(super) fn take_visitor(&mut self, key: VisitorKey) -> Result<VisitorState, M::Error> {
        match self.changes.visitors.remove(&key) {
            Some(state) => Ok(Arc::unwrap_or_clone(state)),
            None => Ok(self.memory.visitor(key)?.map(Arc::unwrap_or_clone).unwrap_or_default()),
        }
    }

    /// The state, among the changes, to be changed there.
    pub(super) fn visitor_mut(&mut self, key: VisitorKey) -> Result<&mut VisitorState, M::Error> {
        let state = match self.changes.visitors.entry(key) {
            Entry::Occupied(changed) => changed.into_mut(),
            Entry::Vacant(unchanged) => unchanged.insert(self.memory.visitor(key)?.unwrap_or_default()),
        };
        Ok(Arc::make_mut(state))
    }

    pub(super) fn set_visitor(&mut self, key: VisitorKey, state: VisitorState) {
        self.changes.visitors.insert(key, Arc::new(state));
    }

    pub(super) fn seen(&self, id: Uuid) -> Result<Option<Note>, M::Error> {
        let current = self.policy.generation(self.clock_ms);
        for generation in [current, self.policy.oldest_generation(self.clock_ms)] {
            if let Some(note) = self.changes.seen.get(&(generation, id)) {
                return Ok(Some(*note));
            }
            if let Some(note) = self.memory.seen(generation, id)? {
                return Ok(Some(note));
            }
        }
        Ok(None)
    }

    pub(super) fn set_seen(&mut self, id: Uuid, note: Note) {
        self.changes.seen.insert((self.policy.generation(self.clock_ms), id), note);
    }

    pub(super) fn rate(&self, key: &RateKey) -> Result<Option<Rate>, M::Error> {
        match self.changes.rates.get(key) {
            Some(rate) => Ok(Some(*rate)),
            None => self.memory.rate(key),
        }
    }

    pub(super) fn set_rate(&mut self, key: RateKey, rate: Rate) {
        self.changes.rates.insert(key, rate);
    }

    pub(super) fn set_wait(&mut self, until_ms: i64, key: VisitorKey) {
        self.changes.waits.insert((until_ms, key), true);
    }

    /// Takes the waits that are over.
    pub(super) fn take_due(&mut self) -> Result<Due, M::Error> {
        let due = self.memory.due(self.clock_ms)?.with(&self.changes.waits, self.clock_ms);
        for wait in &due.now {
            self.changes.waits.insert(*wait, false);
        }
        Ok(due)
    }
}
