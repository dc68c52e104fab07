//! Secrets and unguessable names.

/// `N` random bytes, from the operating system.
///
/// # Panics
/// When the operating system gives none.
#[must_use]
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// 32 hexadecimal digits, 128 random bits.
#[must_use]
pub fn hex_id() -> String {
    hex::encode(bytes::<16>())
}
