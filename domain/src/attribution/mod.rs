//! Which clicks earned an action, and why: a pure fold over one partition's
//! events.
//!
//! Kafka hands events over in the order of their arrival; what they earn must
//! follow the order of their own times. So an event that matters is held until
//! the partition's clock, the latest time at which a collector took one of its
//! events, has passed it by [`Policy::hold_ms`]; all that came meanwhile is then
//! taken in the order of (time, kind, id). What comes later still is taken at
//! once: an action is decided by the clicks that are known, a click counts for
//! what is decided after it. Beyond [`Policy::lateness_ms`] an event is too
//! late, and says so.
//!
//! | module | job |
//! |---|---|
//! | here | hold, release, expire: the order of things |
//! | [`memory`] | what is remembered, within which bounds |
//! | `click` | a click: duplicate, flood, or a touch |
//! | `action` | a conversion or sale: which click, or where else to look |
//! | `credit` | what is written down of it, for each who shares in it |
//! | `payment` | a payment, which needs no click |
//! | `place` | where a partition stands, what is held included |
//! | `sparse` | what of an event is read |
//! | [`model`] | how a payout is shared among clicks |
//!
//! Nothing here reads a clock or draws an id: the same log gives the same
//! credits, byte for byte.

mod action;
mod click;
mod credit;
pub mod memory;
pub mod model;
mod payment;
mod place;
mod sparse;

use std::collections::{BTreeMap, VecDeque};

use self::credit::{credit_of, credited};
use self::memory::{Changes, Memory, Parked, View, VisitorState, note_of};
pub use self::place::Place;
pub use self::sparse::{Origin, Sparse};
use crate::command::{Basis, Credit, Decision, Reason};
use crate::dedupe::{Arrival, arrival};
use crate::event::{Action, Body, Event, Sought};
use crate::ids::{EventId, VisitorKey, hash_uuid};
use crate::refund::Refund;
use crate::rules::Rules;

/// No attribution window may be longer; older clicks are forgotten: 90 days.
pub const MAX_WINDOW_MS: i64 = 90 * 24 * 60 * 60 * 1_000;

const HOUR_MS: i64 = 60 * 60 * 1_000;

/// The bounds of time and rate that attribution keeps. Other bounds may decide
/// otherwise when a log is read again, so change them with care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// An event is held this long, so that others can come before it.
    pub hold_ms: i64,
    /// An event that comes in later than this after its own time counts for
    /// nothing. Ids are remembered as long.
    pub lateness_ms: i64,
    /// An action without a click waits for one this long.
    pub parking_ms: i64,
    /// Clicks on one link from one network in one minute of one partition;
    /// those beyond are a flood. 0: no limit.
    pub flood_clicks: u32,
}

impl Policy {
    /// The generation of ids that are noted when the clock stands there.
    fn generation(&self, clock_ms: i64) -> i64 {
        clock_ms.div_euclid(self.lateness_ms.max(1))
    }

    /// Ids of earlier generations are not asked for any more: each is
    /// remembered for at least the lateness, and at most twice that.
    #[must_use]
    pub fn oldest_generation(&self, clock_ms: i64) -> i64 {
        self.generation(clock_ms).saturating_sub(1)
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self { hold_ms: 1_000, lateness_ms: 72 * HOUR_MS, parking_ms: 72 * HOUR_MS, flood_clicks: 0 }
    }
}

/// What the fold gives out.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "lives for a moment")]
pub enum Emitted {
    /// A decision, for the topic `credits`.
    Credit(Credit),
    /// A refund, for the topic `credits`: settlement knows what was paid.
    Refund(Refund),
    /// A message to another visitor's partition, for the topic `events`.
    Event(Event),
}

/// An event that is held: its own time, its kind's rank, its id.
type Turn = (i64, u8, EventId);

#[derive(Clone, Debug)]
struct Held {
    offset: i64,
    event: Box<Sparse>,
}

/// The fold over one partition: what is held, and the clock. The rest is in
/// [`Memory`], the ids of what is held included.
#[derive(Clone, Debug, Default)]
pub struct Partition {
    clock_ms: i64,
    held: BTreeMap<Turn, Held>,
    /// The end of the next wait; before it, none needs to be looked for.
    next_wait_ms: Option<i64>,
    /// All before this was applied, in this life or an earlier one;
    next_offset: i64,
    /// of an earlier life, these were held, and are still to be read again.
    held_before: VecDeque<i64>,
}

/// Everything that the fold works with besides the event.
pub struct Context<'a, M> {
    /// What was committed.
    pub memory: &'a M,
    /// What has changed since.
    pub changes: &'a mut Changes,
    /// The campaigns' terms; they must [cover](Rules::cover) every event so far.
    pub rules: &'a Rules,
    /// The bounds.
    pub policy: &'a Policy,
    /// What comes out is added here.
    pub emitted: &'a mut Vec<Emitted>,
}

/// A [`Context`] within one event.
struct Work<'a, M> {
    view: View<'a, M>,
    rules: &'a Rules,
    emitted: &'a mut Vec<Emitted>,
}

impl Partition {
    /// A partition whose memory was committed at `place`. Reading goes on at
    /// [`Place::resume_offset`].
    #[must_use]
    pub fn new(place: &Place) -> Self {
        Self {
            clock_ms: place.clock_ms,
            next_wait_ms: Some(i64::MIN),
            next_offset: place.next_offset,
            held_before: place.held(),
            ..Self::default()
        }
    }

    /// The latest time at which a collector took one of the events.
    #[must_use]
    pub fn clock_ms(&self) -> i64 {
        self.clock_ms
    }

    /// The first offset that was not applied.
    #[must_use]
    pub fn next_offset(&self) -> i64 {
        self.next_offset
    }

    /// Where reading has to go on: at what was held, and then at what is new.
    #[must_use]
    pub fn reads_from(&self) -> i64 {
        self.held_before.front().copied().unwrap_or(self.next_offset)
    }

    /// Passes over offsets before `next_offset` that have no event.
    pub fn pass(&mut self, next_offset: i64) {
        self.next_offset = self.next_offset.max(next_offset);
    }

    /// Where it stands.
    #[must_use]
    pub fn place(&self) -> Place {
        // What is to be read again and was not yet is held as well.
        let unread = self.held_before.iter().copied();
        let held = self.held.values().map(|held| held.offset).chain(unread).collect();
        Place::new(self.clock_ms, self.next_offset, held)
    }

    /// Whether something would be decided if the clock were at `now_ms`.
    #[must_use]
    pub fn is_due(&self, now_ms: i64, policy: &Policy) -> bool {
        let first = self.held.first_key_value();
        first.is_some_and(|((at_ms, ..), _)| at_ms.saturating_add(policy.hold_ms) <= now_ms)
            || self.next_wait_ms.is_some_and(|until_ms| until_ms <= now_ms)
    }

    /// Takes the event at `offset`. One that was applied already is passed over,
    /// unless it was held.
    ///
    /// # Errors
    /// When memory cannot be read; the partition is then of no more use.
    pub fn apply<M: Memory>(
        &mut self,
        offset: i64,
        event: impl Into<Box<Sparse>>,
        context: &mut Context<'_, M>,
    ) -> Result<(), M::Error> {
        let event = event.into();
        let was_held = self.held_before.front() == Some(&offset);
        if was_held {
            self.held_before.pop_front();
        } else if offset < self.next_offset {
            return Ok(());
        }
        self.pass(offset.saturating_add(1));
        self.clock_ms = self.clock_ms.max(event.received_at_ms);
        let mut work = Work {
            view: View {
                memory: context.memory,
                changes: context.changes,
                policy: context.policy,
                clock_ms: self.clock_ms,
            },
            rules: context.rules,
            emitted: context.emitted,
        };
        if let Some(rank) = rank(&event.body)
            && (was_held || work.admit(&event)?)
        {
            self.held.insert((event.at_ms, rank, event.id), Held { offset, event });
        }
        while let Some(first) = self.held.first_entry() {
            if first.key().0.saturating_add(work.view.policy.hold_ms) > self.clock_ms {
                break;
            }
            let event = first.remove().event;
            if event.at_ms > event.received_at_ms {
                // It is not too late for a repeat of it until long after its own time.
                work.view.set_seen(event.id.0, note_of(&event.payload_hash));
            }
            work.take(&event)?;
        }
        self.next_wait_ms = earliest(self.next_wait_ms, &work.view.changes.waits, self.clock_ms);
        if self.next_wait_ms.is_some_and(|until_ms| until_ms <= self.clock_ms) {
            self.next_wait_ms = work.expire()?;
        }
        Ok(())
    }
}

/// The earliest end of a wait, as far as it is known without reading.
fn earliest(known_ms: Option<i64>, waits: &BTreeMap<(i64, VisitorKey), bool>, clock_ms: i64) -> Option<i64> {
    // Waits that begin now do not end before; only the first can be the earliest.
    let from = (clock_ms, VisitorKey([0; 16]));
    let added_ms = waits.range(from..).find(|(_, is_added)| **is_added).map(|((until_ms, _), _)| *until_ms);
    known_ms.into_iter().chain(added_ms).min()
}

/// The place of a kind among events of one moment; none for those that earn
/// nothing and change nothing.
fn rank(body: &Body) -> Option<u8> {
    match body {
        Body::Page { .. } | Body::Track { .. } | Body::Tick {} => None,
        Body::Click { .. } => Some(0),
        Body::Identify { .. } | Body::Stitch { .. } => Some(1),
        Body::Conversion { .. } | Body::Sale { .. } | Body::Payment(_) | Body::Handed { .. } => Some(2),
        Body::Refund { .. } => Some(3),
        Body::Erase {} => Some(4),
    }
}

impl<M: Memory> Work<'_, M> {
    /// Notes that an event came; whether it is the first under its id, and not too
    /// late.
    fn admit(&mut self, event: &Sparse) -> Result<bool, M::Error> {
        let note = note_of(&event.payload_hash);
        match arrival(self.view.seen(event.id.0)?, note) {
            Arrival::Repeat => return Ok(false),
            Arrival::Clash => {
                self.refuse(event, Decision::Quarantined);
                return Ok(false);
            }
            Arrival::First => {}
        }
        self.view.set_seen(event.id.0, note);
        let lateness_ms = self.view.clock_ms.saturating_sub(event.at_ms);
        let is_late = lateness_ms > self.view.policy.lateness_ms && !event.body.is_internal();
        if is_late {
            self.refuse(event, Decision::Rejected { reason: Reason::TooLate });
        }
        Ok(!is_late)
    }

    /// Takes an event whose turn it is.
    fn take(&mut self, event: &Sparse) -> Result<(), M::Error> {
        match &event.body {
            Body::Click { .. } => self.click(event),
            Body::Identify { .. } => self.identify(event),
            Body::Stitch { visitor } => self.stitch(event.visitor, *visitor),
            Body::Conversion { .. } | Body::Sale { .. } => {
                let Some(action) = event.action() else { return Ok(()) };
                self.first_seen(action)
            }
            Body::Payment(payment) => {
                self.payment(event, payment);
                Ok(())
            }
            Body::Handed { action } => self.seek(event.visitor, (**action).clone()),
            Body::Erase {} => self.erase(event.visitor),
            Body::Refund { .. } => {
                self.emitted.extend(event.refund().map(Emitted::Refund));
                Ok(())
            }
            Body::Page { .. } | Body::Track { .. } | Body::Tick {} => Ok(()),
        }
    }

    /// A visitor turned out to be a user: the user's partition is told, once.
    fn identify(&mut self, event: &Sparse) -> Result<(), M::Error> {
        let Some(user) = event.user.filter(|user| *user != event.visitor) else { return Ok(()) };
        let mut state = self.view.take_visitor(event.visitor)?;
        if state.identify(user) {
            let id = hash_uuid("stitch", &[event.id.0.as_bytes()]);
            let body = Body::Stitch { visitor: event.visitor };
            let hash = event.payload_hash.clone();
            let told = Event::internal(id, event.workspace, user, event.at_ms, hash, body);
            self.emitted.push(Emitted::Event(told));
        }
        self.view.set_visitor(event.visitor, state);
        Ok(())
    }

    /// A user turned out to be a visitor: what waits here goes there.
    fn stitch(&mut self, user: VisitorKey, visitor: VisitorKey) -> Result<(), M::Error> {
        let mut state = self.view.take_visitor(user)?;
        state.identify(visitor);
        for parked in std::mem::take(&mut state.parked) {
            let waited_ms = parked.waited_ms(self.view.clock_ms);
            let action = Action { sought: Sought::Among(vec![user]), waited_ms, ..parked.action };
            self.hand_on(action, visitor);
        }
        self.view.set_visitor(user, state);
        Ok(())
    }

    /// Forgets a visitor; what waited for a click of theirs waits no longer.
    fn erase(&mut self, key: VisitorKey) -> Result<(), M::Error> {
        let state = self.view.take_visitor(key)?;
        for parked in &state.parked {
            self.no_touch(parked);
        }
        self.view.set_visitor(key, VisitorState::default());
        Ok(())
    }

    /// Decides what has waited long enough; tells when the next wait is over.
    fn expire(&mut self) -> Result<Option<i64>, M::Error> {
        let due = self.view.take_due()?;
        let clock_ms = self.view.clock_ms;
        for (_, key) in due.now {
            let mut state = self.view.take_visitor(key)?;
            let (over, waiting): (Vec<_>, Vec<_>) =
                std::mem::take(&mut state.parked).into_iter().partition(|parked| parked.until_ms <= clock_ms);
            state.parked = waiting;
            for parked in &over {
                self.no_touch(parked);
            }
            self.view.set_visitor(key, state);
        }
        Ok(due.next_ms)
    }

    /// Answers an event that is not taken, where it is one that gets an answer.
    fn refuse(&mut self, event: &Sparse, decision: Decision) {
        if let Some(refund) = event.refund() {
            // It is about money that may have been paid: no bound of time holds
            // for it, and settlement knows its id for ever.
            self.emitted.push(Emitted::Refund(refund));
        } else if let Body::Payment(payment) = &event.body {
            // So is this.
            match decision {
                Decision::Quarantined => self.clashing_payment(event, payment),
                _ => self.payment(event, payment),
            }
        } else if let Some(action) = event.action() {
            self.emit(credit_of(&action, decision, Basis::none()));
        } else if let Some(touch) = click::touch_of(event) {
            let is_paid = self.rules.campaign(touch.campaign).is_some_and(click::pays_clicks);
            if is_paid || decision == Decision::Quarantined {
                self.emit(credited(&touch, credit_of(&Action::of_click(event), decision, Basis::none())));
            }
        }
    }

    fn no_touch(&mut self, parked: &Parked) {
        let waited_ms = parked.waited_ms(self.view.clock_ms);
        let decision = Decision::Nonpayable { reason: Reason::NoTouch };
        self.emit(credit_of(&parked.action, decision, Basis { waited_ms, ..Basis::none() }));
    }

    fn emit(&mut self, credit: Credit) {
        self.emitted.push(Emitted::Credit(credit));
    }
}

#[cfg(test)]
mod tests;
