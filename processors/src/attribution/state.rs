//! What attribution remembers, on local disk: visitors' clicks and the payload
//! hashes of seen events, by partition. State and offset change in one write,
//! so the state always stands at an exact offset of its partition.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use domain::attribution::VisitorState;
use domain::ids::{EventId, VisitorKey};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use crate::ProcessorError;

/// Changes when the form of keys or values does; another layout's state is not
/// read.
const LAYOUT: &[u8] = b"1";
const NEXT_OFFSET: &[u8] = b"next-offset";
const LAYOUT_KEY: &[u8] = b"layout";

/// The store of one processor.
pub(super) struct StateStore {
    database: Database,
    path: PathBuf,
}

/// The state of one partition.
pub(super) struct PartitionState {
    database: Database,
    path: PathBuf,
    meta: Keyspace,
    visitors: Keyspace,
    seen: Keyspace,
    pub(super) next_offset: i64,
}

/// Changes of one batch: read through, written at once.
#[derive(Default)]
pub(super) struct Changes {
    visitors: HashMap<VisitorKey, VisitorState>,
    seen: HashMap<EventId, String>,
}

fn failed(path: &Path) -> impl Fn(fjall::Error) -> ProcessorError {
    move |error| ProcessorError::State { path: path.to_owned(), message: error.to_string() }
}

impl StateStore {
    pub(super) fn open(path: &Path) -> Result<Self, ProcessorError> {
        let database = Database::builder(path).worker_threads(1).open().map_err(failed(path))?;
        Ok(Self { database, path: path.to_owned() })
    }

    /// The state of a partition of `topic`; empty, at offset 0, where there is
    /// none.
    pub(super) fn partition(&self, topic: &str, partition: i32) -> Result<PartitionState, ProcessorError> {
        let failed = failed(&self.path);
        let keyspace = |name: &str| {
            let name = format!("{topic}-{partition}-{name}");
            self.database.keyspace(&name, KeyspaceCreateOptions::default).map_err(&failed)
        };
        let (meta, visitors, seen) = (keyspace("meta")?, keyspace("visitors")?, keyspace("seen")?);
        let wrong = |message: &str| ProcessorError::State {
            path: self.path.clone(),
            message: format!("{message}; remove the directory to rebuild the state from Kafka"),
        };
        match meta.get(LAYOUT_KEY).map_err(&failed)? {
            None => meta.insert(LAYOUT_KEY, LAYOUT).map_err(&failed)?,
            Some(layout) if *layout == *LAYOUT => {}
            Some(_) => return Err(wrong("written by another version")),
        }
        let next_offset = match meta.get(NEXT_OFFSET).map_err(&failed)? {
            None => 0,
            Some(bytes) => {
                i64::from_be_bytes(<[u8; 8]>::try_from(&*bytes).map_err(|_| wrong("the offset is damaged"))?)
            }
        };
        let database = self.database.clone();
        Ok(PartitionState { database, path: self.path.clone(), meta, visitors, seen, next_offset })
    }
}

impl PartitionState {
    /// The state of a visitor, with `changes` applied.
    pub(super) fn visitor(&self, key: VisitorKey, changes: &Changes) -> Result<VisitorState, ProcessorError> {
        if let Some(state) = changes.visitors.get(&key) {
            return Ok(state.clone());
        }
        match self.visitors.get(key.0).map_err(failed(&self.path))? {
            None => Ok(VisitorState::default()),
            Some(bytes) => serde_json::from_slice(&bytes).map_err(|error| ProcessorError::State {
                path: self.path.clone(),
                message: format!("visitor {key}: {error}"),
            }),
        }
    }

    /// The payload hash remembered under an event's id.
    pub(super) fn seen(&self, event: EventId, changes: &Changes) -> Result<Option<String>, ProcessorError> {
        if let Some(hash) = changes.seen.get(&event) {
            return Ok(Some(hash.clone()));
        }
        let bytes = self.seen.get(event.0.as_bytes()).map_err(failed(&self.path))?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Writes `changes` and the new offset, all or nothing.
    pub(super) fn commit(&mut self, changes: Changes, next_offset: i64) -> Result<(), ProcessorError> {
        let failed = failed(&self.path);
        // A killed process loses nothing; a power cut may lose the last moments
        // of state and offset together, which is only a position further back.
        let mut batch = self.database.batch().durability(Some(PersistMode::Buffer));
        for (key, state) in changes.visitors {
            if state.touches.is_empty() {
                batch.remove(&self.visitors, key.0);
                continue;
            }
            let bytes = serde_json::to_vec(&state).expect("states are JSON");
            batch.insert(&self.visitors, key.0, bytes);
        }
        for (event, hash) in changes.seen {
            batch.insert(&self.seen, *event.0.as_bytes(), hash.into_bytes());
        }
        batch.insert(&self.meta, NEXT_OFFSET, next_offset.to_be_bytes());
        batch.commit().map_err(failed)?;
        self.next_offset = next_offset;
        Ok(())
    }
}

impl Changes {
    pub(super) fn set_visitor(&mut self, key: VisitorKey, state: VisitorState) {
        self.visitors.insert(key, state);
    }

    pub(super) fn set_seen(&mut self, event: EventId, payload_hash: String) {
        self.seen.insert(event, payload_hash);
    }
}

#[cfg(test)]
mod tests {
    use domain::attribution::Touch;
    use domain::ids::{CampaignId, LinkId, UserId};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn state_and_offset_survive_together() {
        let dir = tempfile::tempdir().unwrap();
        let visitor = VisitorKey([7; 16]);
        let event = EventId(Uuid::from_u128(1));
        let touch = Touch {
            click: event,
            link: LinkId(Uuid::nil()),
            campaign: CampaignId(Uuid::nil()),
            creator: UserId(Uuid::nil()),
            at_ms: 5,
        };
        let state = VisitorState { touches: vec![touch] };
        {
            let store = StateStore::open(dir.path()).unwrap();
            let mut partition = store.partition("events", 3).unwrap();
            assert_eq!(partition.next_offset, 0);
            let mut changes = Changes::default();
            changes.set_visitor(visitor, state.clone());
            changes.set_seen(event, "hash".to_owned());
            assert_eq!(partition.visitor(visitor, &changes).unwrap(), state);
            assert_eq!(partition.visitor(visitor, &Changes::default()).unwrap(), VisitorState::default());
            partition.commit(changes, 42).unwrap();
        }
        let store = StateStore::open(dir.path()).unwrap();
        let partition = store.partition("events", 3).unwrap();
        assert_eq!(partition.next_offset, 42);
        assert_eq!(partition.visitor(visitor, &Changes::default()).unwrap(), state);
        assert_eq!(partition.seen(event, &Changes::default()).unwrap().as_deref(), Some("hash"));
        let other = store.partition("events", 4).unwrap();
        assert_eq!((other.next_offset, other.seen(event, &Changes::default()).unwrap()), (0, None));
    }
}
