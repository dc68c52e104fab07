//! Secrets and unguessable names.

use rand::Rng as _;
use uuid::Uuid;

/// `N` random bytes that nobody can guess: of this thread's generator, which
/// the operating system seeds, now and then anew.
#[must_use]
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::rng().fill_bytes(&mut bytes);
    bytes
}

/// A UUID (version 7) of a moment, in milliseconds since 1970.
#[must_use]
pub fn uuid_v7(at_ms: i64) -> Uuid {
    let at_ms = u64::try_from(at_ms).unwrap_or_default();
    uuid::Builder::from_unix_timestamp_millis(at_ms, &bytes()).into_uuid()
}

/// 32 hexadecimal digits, 128 random bits.
#[must_use]
pub fn hex_id() -> String {
    hex::encode(bytes::<16>())
}
