//! Names of things, and ids that are derived from content instead of drawn.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id! {
    /// A tenant.
    WorkspaceId
}
id! {
    /// A campaign.
    CampaignId
}
id! {
    /// A user: creator, supporter, business or admin.
    UserId
}
id! {
    /// A tracking link.
    LinkId
}
id! {
    /// An event; for a click it is the click id. Unique over all workspaces.
    EventId
}
id! {
    /// A ledger account; see [`crate::ledger::AccountKey::id`].
    AccountId
}
id! {
    /// A ledger transaction.
    TransactionId
}

impl EventId {
    /// The event id for an id that a client chose. The workspace is mixed in,
    /// so that no tenant can name another's event.
    #[must_use]
    pub fn from_client(workspace: WorkspaceId, client_id: &str) -> Self {
        Self(hash_uuid("event", &[workspace.0.as_bytes(), client_id.as_bytes()]))
    }
}

/// A visitor within one workspace: the first 16 bytes of the SHA-256 of the
/// workspace and the visitor's own id, so that two tenants never share one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VisitorKey(pub [u8; 16]);

impl VisitorKey {
    /// The key of a visitor known by `id`, for example the cookie `tvid`.
    #[must_use]
    pub fn derive(workspace: WorkspaceId, id: &str) -> Self {
        Self(hash_16("visitor", &[workspace.0.as_bytes(), id.as_bytes()]))
    }

    /// The key of a user known only by the client's user id.
    #[must_use]
    pub fn derive_user(workspace: WorkspaceId, user_id: &str) -> Self {
        Self(hash_16("user", &[workspace.0.as_bytes(), user_id.as_bytes()]))
    }

    /// In hexadecimal digits, as the key of a message on Kafka.
    #[must_use]
    pub fn hex(self) -> [u8; 32] {
        let mut text = [0; 32];
        hex::encode_to_slice(self.0, &mut text).expect("32 digits for 16 bytes");
        text
    }
}

impl fmt::Display for VisitorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.hex()).expect("hex digits are ASCII"))
    }
}

impl fmt::Debug for VisitorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VisitorKey({self})")
    }
}

impl Serialize for VisitorKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return self.0.serialize(serializer);
        }
        serializer.serialize_str(std::str::from_utf8(&self.hex()).expect("hex digits are ASCII"))
    }
}

impl<'de> Deserialize<'de> for VisitorKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return <[u8; 16]>::deserialize(deserializer).map(Self);
        }
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        let mut bytes = [0; 16];
        hex::decode_to_slice(text.as_bytes(), &mut bytes).map_err(serde::de::Error::custom)?;
        Ok(Self(bytes))
    }
}

/// A 16-byte name for `parts`, within the name space `purpose`.
fn hash_16(purpose: &str, parts: &[&[u8]]) -> [u8; 16] {
    let mut hash = Sha256::new();
    hash.update(b"tributary\0");
    hash.update(purpose.as_bytes());
    for part in parts {
        // Lengths keep ("ab", "c") and ("a", "bc") apart.
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let digest = hash.finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    bytes
}

/// A UUID (version 8, RFC 9562) named by its content alone.
#[must_use]
pub fn hash_uuid(purpose: &str, parts: &[&[u8]]) -> Uuid {
    uuid::Builder::from_custom_bytes(hash_16(purpose, parts)).into_uuid()
}

/// A UUID (version 8) that begins with `at_ms`, as a version 7 does, and is
/// otherwise named by its content: it sorts by time, is the same in every
/// replay, and can carry a time partition.
#[must_use]
pub fn timed_hash_uuid(at_ms: i64, purpose: &str, parts: &[&[u8]]) -> Uuid {
    let mut bytes = hash_16(purpose, parts);
    bytes[..6].copy_from_slice(&at_ms.max(0).to_be_bytes()[2..]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: WorkspaceId = WorkspaceId(Uuid::from_u128(1));
    const B: WorkspaceId = WorkspaceId(Uuid::from_u128(2));

    #[test]
    fn client_ids_are_scoped_to_their_workspace() {
        assert_eq!(EventId::from_client(A, "order-1"), EventId::from_client(A, "order-1"));
        assert_ne!(EventId::from_client(A, "order-1"), EventId::from_client(B, "order-1"));
        assert_ne!(VisitorKey::derive(A, "v"), VisitorKey::derive(B, "v"));
        assert_ne!(VisitorKey::derive(A, "v"), VisitorKey::derive_user(A, "v"));
    }

    #[test]
    fn parts_do_not_run_together() {
        assert_ne!(hash_uuid("x", &[b"ab", b"c"]), hash_uuid("x", &[b"a", b"bc"]));
    }

    #[test]
    fn timed_ids_sort_by_time() {
        let early = timed_hash_uuid(1_000, "t", &[b"z"]);
        let late = timed_hash_uuid(2_000, "t", &[b"a"]);
        assert!(early < late);
        assert_eq!(early.get_version_num(), 8);
    }

    #[test]
    fn visitor_keys_round_trip() {
        let key = VisitorKey::derive(A, "somebody");
        let json = serde_json::to_string(&key).unwrap();
        assert_eq!(serde_json::from_str::<VisitorKey>(&json).unwrap(), key);
    }
}
