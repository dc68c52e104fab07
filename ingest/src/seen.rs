//! Ids that senders chose, remembered for a day: a repeat gets the first
//! answer, and another event under the same id is told so.
//!
//! Kept on this machine's disk, so that memory stays flat, and without
//! syncing: attribution and settlement recognise repeats exactly, whatever is
//! forgotten here. Only the answer would then be `accepted` once more.

use std::path::{Path, PathBuf};
use std::sync::RwLock;

use domain::ids::EventId;
use fjall::{Database, Keyspace, KeyspaceCreateOptions};

use crate::intake::Taken;

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// What an id was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Nothing.
    New,
    /// The same event's.
    Repeat,
    /// Another event's.
    Clash,
}

/// A store that cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("remembered ids in {path}: {message}")]
pub struct SeenError {
    path: PathBuf,
    message: String,
}

/// Remembers ids, by the day they came.
pub(crate) struct SeenIds {
    database: Database,
    days: RwLock<Days>,
}

/// Today's ids and yesterday's.
struct Days {
    today: i64,
    current: Keyspace,
    previous: Keyspace,
}

impl Days {
    fn open(database: &Database, today: i64) -> fjall::Result<Self> {
        let of = |day: i64| database.keyspace(&name(day), KeyspaceCreateOptions::default);
        Ok(Self { today, current: of(today)?, previous: of(today - 1)? })
    }
}

fn name(day: i64) -> String {
    format!("day-{day}")
}

impl SeenIds {
    /// Opens the store, and forgets what is older than a day.
    ///
    /// # Errors
    /// When the directory cannot be used.
    pub(crate) fn open(path: &Path, now_ms: i64) -> Result<Self, SeenError> {
        let failed = |error: fjall::Error| SeenError { path: path.to_owned(), message: error.to_string() };
        let database = Database::builder(path).worker_threads(1).open().map_err(failed)?;
        let days = Days::open(&database, now_ms.div_euclid(DAY_MS)).map_err(failed)?;
        let seen = Self { database, days: RwLock::new(days) };
        seen.forget_old(now_ms.div_euclid(DAY_MS));
        Ok(seen)
    }

    /// What the id of an event was before it. Ids that we drew are new.
    pub(crate) fn look(&self, taken: &Taken) -> Seen {
        if !taken.named {
            return Seen::New;
        }
        let event = &taken.event;
        self.turn(event.received_at_ms);
        let days = self.days.read().expect("no panic while held");
        for keyspace in [&days.current, &days.previous] {
            match keyspace.get(event.id.0.as_bytes()) {
                Ok(Some(known)) => return compare(&known, &event.payload_hash, event.received_at_ms),
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "remembered ids cannot be read"),
            }
        }
        Seen::New
    }

    /// Remembers an event that is durable.
    pub(crate) fn remember(&self, taken: &Taken) {
        if !taken.named {
            return;
        }
        let EventId(id) = taken.event.id;
        let value = value(&taken.event.payload_hash, taken.event.received_at_ms);
        let days = self.days.read().expect("no panic while held");
        if let Err(error) = days.current.insert(id.as_bytes(), value) {
            tracing::warn!(%error, "an id cannot be remembered");
        }
    }

    /// Turns to a new day, if it is one.
    fn turn(&self, now_ms: i64) {
        let today = now_ms.div_euclid(DAY_MS);
        if self.days.read().expect("no panic while held").today >= today {
            return;
        }
        let mut days = self.days.write().expect("no panic while held");
        if days.today >= today {
            return;
        }
        match Days::open(&self.database, today) {
            Ok(turned) => *days = turned,
            Err(error) => tracing::error!(%error, "remembered ids cannot turn to a new day"),
        }
        drop(days);
        self.forget_old(today);
    }

    fn forget_old(&self, today: i64) {
        for keyspace in self.database.list_keyspace_names() {
            let day = keyspace.strip_prefix("day-").and_then(|day| day.parse::<i64>().ok());
            if day.is_none_or(|day| day >= today - 1) {
                continue;
            }
            let opened = self.database.keyspace(&keyspace, KeyspaceCreateOptions::default);
            if let Err(error) = opened.and_then(|opened| self.database.delete_keyspace(opened)) {
                tracing::warn!(%error, "ids of an earlier day cannot be forgotten");
            }
        }
    }
}

/// The time and the beginning of the payload's hash.
fn value(payload_hash: &str, at_ms: i64) -> Vec<u8> {
    let mut value = at_ms.to_be_bytes().to_vec();
    value.extend_from_slice(&payload_hash.as_bytes()[..payload_hash.len().min(32)]);
    value
}

fn compare(known: &[u8], payload_hash: &str, now_ms: i64) -> Seen {
    let Some((at, hash)) = known.split_at_checked(8) else { return Seen::New };
    let at_ms = i64::from_be_bytes(at.try_into().expect("eight bytes"));
    if now_ms - at_ms > DAY_MS {
        Seen::New
    } else if payload_hash.as_bytes()[..payload_hash.len().min(32)] == *hash {
        Seen::Repeat
    } else {
        Seen::Clash
    }
}

#[cfg(test)]
mod tests {
    use domain::event::{Body, Client, Event};
    use domain::ids::{VisitorKey, WorkspaceId};
    use uuid::Uuid;

    use super::*;

    const NOON_MS: i64 = 1_800_014_400_000;

    fn taken(id: u128, hash: &str, at_ms: i64) -> Taken {
        let event = Event {
            id: EventId(Uuid::from_u128(id)),
            workspace: WorkspaceId(Uuid::nil()),
            visitor: VisitorKey([0; 16]),
            user: None,
            at_ms,
            received_at_ms: at_ms,
            payload_hash: hash.repeat(64),
            body: Body::Track { name: "n".to_owned(), properties: Default::default() },
            client: Client::default(),
            bot: None,
        };
        Taken { event, named: true }
    }

    #[test]
    fn an_id_is_known_for_a_day() {
        let dir = tempfile::tempdir().unwrap();
        let seen = SeenIds::open(dir.path(), NOON_MS).unwrap();
        assert_eq!(seen.look(&taken(1, "a", NOON_MS)), Seen::New);
        seen.remember(&taken(1, "a", NOON_MS));
        for (hash, after_ms, expected) in [
            ("a", 0, Seen::Repeat),
            ("b", 0, Seen::Clash),
            ("a", DAY_MS, Seen::Repeat),
            ("a", DAY_MS + 1, Seen::New),
            ("b", 3 * DAY_MS, Seen::New),
        ] {
            assert_eq!(seen.look(&taken(1, hash, NOON_MS + after_ms)), expected, "{hash} after {after_ms}");
        }
        assert_eq!(seen.look(&taken(2, "a", NOON_MS)), Seen::New);
        // Drawn by us: never looked up.
        seen.remember(&taken(2, "a", NOON_MS + 3 * DAY_MS));
        assert_eq!(seen.look(&Taken { named: false, ..taken(2, "b", NOON_MS + 3 * DAY_MS) }), Seen::New);
        assert!(seen.database.list_keyspace_names().len() <= 2);
    }

    #[test]
    fn a_new_process_knows_what_the_old_one_knew() {
        let dir = tempfile::tempdir().unwrap();
        let seen = SeenIds::open(dir.path(), NOON_MS).unwrap();
        seen.remember(&taken(1, "a", NOON_MS));
        drop(seen);
        let seen = SeenIds::open(dir.path(), NOON_MS).unwrap();
        assert_eq!(seen.look(&taken(1, "a", NOON_MS)), Seen::Repeat);
    }
}
