//! How a visitor stands in the log: sum (4 bytes, CRC-32 of what follows), length
//! of the state (4), key (16), state. Numbers are little-endian. A visitor with
//! an empty state was forgotten.

use domain::ids::VisitorKey;

const SUM_BYTES: usize = 4;
const LENGTH_BYTES: usize = 4;
const KEY_BYTES: usize = 16;
/// What stands before a state.
pub(super) const HEAD_BYTES: usize = SUM_BYTES + LENGTH_BYTES + KEY_BYTES;

/// A visitor's key and state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub(super) key: VisitorKey,
    pub(super) state: &'a [u8],
}

impl Record<'_> {
    /// How many bytes it takes in the log.
    pub(super) fn bytes(&self) -> usize {
        HEAD_BYTES + self.state.len()
    }
}

/// Adds a record to `out`; `write` adds its state.
pub(super) fn encode(mut out: Vec<u8>, key: VisitorKey, write: impl FnOnce(Vec<u8>) -> Vec<u8>) -> Vec<u8> {
    let start = out.len();
    out.extend_from_slice(&[0; SUM_BYTES + LENGTH_BYTES]);
    out.extend_from_slice(&key.0);
    let mut out = write(out);
    let length = u32::try_from(out.len() - start - HEAD_BYTES).expect("what a visitor may have is bounded");
    let (sum, summed) = out[start..].split_at_mut(SUM_BYTES);
    summed[..LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
    sum.copy_from_slice(&crc32fast::hash(summed).to_le_bytes());
    out
}

/// How many bytes the record takes that `head` begins; `None` if that is no whole
/// head.
pub(super) fn bytes_of(head: &[u8]) -> Option<usize> {
    let length = head.get(SUM_BYTES..HEAD_BYTES)?.first_chunk()?;
    usize::try_from(u32::from_le_bytes(*length)).ok()?.checked_add(HEAD_BYTES)
}

/// The record at the beginning of `bytes`; `None` if there is no whole one.
pub(super) fn first(bytes: &[u8]) -> Option<Record<'_>> {
    let (sum, rest) = bytes.get(..bytes_of(bytes)?)?.split_first_chunk()?;
    let (key, state) = rest.get(LENGTH_BYTES..)?.split_first_chunk()?;
    (crc32fast::hash(rest) == u32::from_le_bytes(*sum)).then_some(Record { key: VisitorKey(*key), state })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(key: [u8; 16], state: &[u8]) -> Vec<u8> {
        encode(Vec::new(), VisitorKey(key), |mut out| {
            out.extend_from_slice(state);
            out
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(key: [u8; 16], state: Vec<u8>, after: Vec<u8>) {
            let bytes = encoded(key, &state);
            let read = Record { key: VisitorKey(key), state: &state };
            prop_assert_eq!(read.bytes(), bytes.len());
            let bytes = [bytes, after].concat();
            prop_assert_eq!(first(&bytes), Some(read));
        }

        #[test]
        fn what_is_cut_off_or_changed_is_none(
            key: [u8; 16], state: Vec<u8>, place in any::<prop::sample::Index>(), by in 1_u8..,
        ) {
            let mut bytes = encoded(key, &state);
            let at = place.index(bytes.len());
            prop_assert_eq!(first(&bytes[..at]), None);
            bytes[at] = bytes[at].wrapping_add(by);
            prop_assert_eq!(first(&bytes), None);
        }

        #[test]
        fn any_bytes_are_read(bytes: Vec<u8>) {
            first(&bytes);
        }
    }
}
