//! How records stand in a segment's file, and how a torn end is told.
//!
//! A file is the magic, then records: length of the body (4 bytes), CRC-32 of
//! the body (4), body. The body is the length of the key (2), the length of
//! the trace (2), key, trace, payload. All numbers are little-endian. A file
//! that ends within a record, or whose last records do not match their sums,
//! was being written when the machine stopped; what stands before is whole.

/// What a segment's file begins with.
pub(super) const MAGIC: &[u8; 8] = b"TRIBSP01";
/// Length and sum, before each body.
const HEAD_BYTES: usize = 8;
/// The two lengths in a body.
const LENGTHS_BYTES: usize = 4;
/// No body is larger: a length beyond it is not one.
const MAX_BODY_BYTES: usize = 16 << 20;

/// A message for Kafka.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Record {
    /// Kafka's key; records of one key keep their order.
    pub(crate) key: Vec<u8>,
    /// The request's `traceparent`, or nothing.
    pub(crate) trace: Vec<u8>,
    /// The message.
    pub(crate) payload: Vec<u8>,
}

impl Record {
    /// As it stands in a file.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let length = |bytes: &[u8]| u16::try_from(bytes.len()).expect("keys and traces are short");
        let start = out.len();
        out.extend_from_slice(&[0; HEAD_BYTES]);
        out.extend_from_slice(&length(&self.key).to_le_bytes());
        out.extend_from_slice(&length(&self.trace).to_le_bytes());
        out.extend_from_slice(&self.key);
        out.extend_from_slice(&self.trace);
        out.extend_from_slice(&self.payload);
        let body = &out[start + HEAD_BYTES..];
        let (size, sum) = (u32::try_from(body.len()).expect("a message is small"), crc32fast::hash(body));
        out[start..start + 4].copy_from_slice(&size.to_le_bytes());
        out[start + 4..start + HEAD_BYTES].copy_from_slice(&sum.to_le_bytes());
    }

    fn decode(body: &[u8]) -> Option<Self> {
        let (lengths, rest) = body.split_at_checked(LENGTHS_BYTES)?;
        let key_bytes = usize::from(u16::from_le_bytes([lengths[0], lengths[1]]));
        let trace_bytes = usize::from(u16::from_le_bytes([lengths[2], lengths[3]]));
        let (key, rest) = rest.split_at_checked(key_bytes)?;
        let (trace, payload) = rest.split_at_checked(trace_bytes)?;
        Some(Self { key: key.to_vec(), trace: trace.to_vec(), payload: payload.to_vec() })
    }
}

/// The record at the beginning of `bytes`, and how many bytes it takes; `None`
/// where there is no whole one.
pub(super) fn next_record(bytes: &[u8]) -> Option<(Record, usize)> {
    let (head, rest) = bytes.split_at_checked(HEAD_BYTES)?;
    let number = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let size = usize::try_from(number(0)).ok().filter(|size| *size <= MAX_BODY_BYTES)?;
    let body = rest.get(..size)?;
    if crc32fast::hash(body) != number(4) {
        return None;
    }
    Some((Record::decode(body)?, HEAD_BYTES + size))
}

/// How much of a file is whole: its bytes and its records.
pub(super) fn whole_part(file: &[u8]) -> (usize, u64) {
    if !file.starts_with(MAGIC) {
        return (0, 0);
    }
    let (mut at, mut records) = (MAGIC.len(), 0);
    while let Some((_, bytes)) = next_record(&file[at..]) {
        at += bytes;
        records += 1;
    }
    (at, records)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn file(records: &[Record]) -> Vec<u8> {
        let mut file = MAGIC.to_vec();
        for record in records {
            record.encode(&mut file);
        }
        file
    }

    fn records(file: &[u8]) -> Vec<Record> {
        let (whole, count) = whole_part(file);
        let (mut at, mut records) = (MAGIC.len(), Vec::new());
        while at < whole {
            let (record, bytes) = next_record(&file[at..]).expect("it is whole");
            records.push(record);
            at += bytes;
        }
        assert_eq!(records.len() as u64, count);
        records
    }

    fn any_record() -> impl Strategy<Value = Record> {
        (vec(any::<u8>(), 0..40), vec(any::<u8>(), 0..60), vec(any::<u8>(), 0..300))
            .prop_map(|(key, trace, payload)| Record { key, trace, payload })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(written in vec(any_record(), 0..20)) {
            prop_assert_eq!(records(&file(&written)), written);
        }

        /// Wherever a write is cut off, the records before it are read.
        #[test]
        fn a_torn_end_costs_only_itself(written in vec(any_record(), 1..10), cut in any::<prop::sample::Index>()) {
            let whole = file(&written);
            let at = MAGIC.len() + cut.index(whole.len() - MAGIC.len());
            let read = records(&whole[..at]);
            prop_assert!(read.len() < written.len());
            prop_assert_eq!(&read[..], &written[..read.len()]);
        }

        /// A changed byte ends the file there; nothing false is read.
        #[test]
        fn a_changed_byte_is_noticed(
            written in vec(any_record(), 1..10), place in any::<prop::sample::Index>(), by in 1_u8..,
        ) {
            let mut file = file(&written);
            let at = MAGIC.len() + place.index(file.len() - MAGIC.len());
            file[at] = file[at].wrapping_add(by);
            let (whole, _) = whole_part(&file);
            prop_assert!(whole <= at);
        }

        #[test]
        fn any_bytes_are_read(bytes: Vec<u8>) {
            prop_assert!(whole_part(&bytes).0 <= bytes.len());
            let behind_magic = [MAGIC.as_slice(), &bytes].concat();
            prop_assert!(whole_part(&behind_magic).0 <= behind_magic.len());
        }
    }
}
