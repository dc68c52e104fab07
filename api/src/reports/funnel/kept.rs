//! Rows of what is kept by visitor, read from RowBinary by hand: they are millions with
//! tens of moments each, and the crate's way to rows takes several times as long.

use clickhouse::error::Error;
use clickhouse::query::BytesCursor;

/// No row has so many bytes: that would be a visitor who did something every tenth of a
/// second, a month long.
const LONGEST_ROW: usize = 100_000_000;

/// What is kept of a visitor's month.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct KeptRow {
    pub(super) visitor: [u8; 16],
    /// When the month began, milliseconds since 1970.
    pub(super) month_ms: i64,
    /// Of each kind, the moments: milliseconds since then.
    pub(super) moments: [Vec<u32>; 3],
}

/// The rows that a cursor gives.
pub(super) struct KeptRows {
    cursor: BytesCursor,
    bytes: Vec<u8>,
    /// So many of the bytes are read.
    read: usize,
    row: KeptRow,
    has_row: bool,
}

impl KeptRows {
    /// Stands at the first row, if there is one.
    pub(super) async fn begin(cursor: BytesCursor) -> Result<Self, Error> {
        let mut rows = Self { cursor, bytes: Vec::new(), read: 0, row: KeptRow::default(), has_row: false };
        rows.step().await?;
        Ok(rows)
    }

    /// The row it stands at; none behind the last.
    pub(super) fn row(&self) -> Option<&KeptRow> {
        self.has_row.then_some(&self.row)
    }

    /// Goes on to the next row.
    pub(super) async fn step(&mut self) -> Result<(), Error> {
        loop {
            if let Some(length) = read_row(&self.bytes[self.read..], &mut self.row) {
                self.read += length;
                self.has_row = true;
                return Ok(());
            }
            self.bytes.drain(..self.read);
            self.read = 0;
            match self.cursor.next().await? {
                Some(_) if self.bytes.len() > LONGEST_ROW => {
                    return Err(Error::Custom("a row of visitor_acts does not end".to_owned()));
                }
                Some(more) => self.bytes.extend_from_slice(&more),
                None if self.bytes.is_empty() => {
                    self.has_row = false;
                    return Ok(());
                }
                None => return Err(Error::NotEnoughData),
            }
        }
    }
}

/// Reads a row from the beginning of `bytes`; gives how long it is, or none if there is
/// more to come of it.
fn read_row(bytes: &[u8], row: &mut KeptRow) -> Option<usize> {
    let (visitor, mut rest) = bytes.split_first_chunk()?;
    row.visitor = *visitor;
    let (month_ms, after) = rest.split_first_chunk()?;
    row.month_ms = i64::from_le_bytes(*month_ms);
    rest = after;
    for moments in &mut row.moments {
        let count = read_length(&mut rest)?;
        let (values, after) = rest.split_at_checked(count.checked_mul(4)?)?;
        moments.clear();
        moments.extend(values.as_chunks().0.iter().map(|value| u32::from_le_bytes(*value)));
        rest = after;
    }
    Some(bytes.len() - rest.len())
}

/// LEB128.
fn read_length(bytes: &mut &[u8]) -> Option<usize> {
    let mut length = 0;
    for (position, byte) in bytes.iter().enumerate().take(9) {
        length |= usize::from(byte & 0x7f) << (7 * position);
        if byte & 0x80 == 0 {
            *bytes = &bytes[position + 1..];
            return Some(length);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(row: &KeptRow) -> Vec<u8> {
        let mut bytes = row.visitor.to_vec();
        bytes.extend(row.month_ms.to_le_bytes());
        for moments in &row.moments {
            let mut length = moments.len();
            while length >= 0x80 {
                bytes.push((length & 0x7f) as u8 | 0x80);
                length >>= 7;
            }
            bytes.push(length as u8);
            bytes.extend(moments.iter().flat_map(|moment| moment.to_le_bytes()));
        }
        bytes
    }

    #[test]
    fn rows_are_read_wherever_they_are_cut() {
        let few = KeptRow { visitor: [7; 16], month_ms: -1, moments: [vec![1], vec![], vec![u32::MAX, 3]] };
        let many = KeptRow {
            visitor: *b"0123456789abcdef",
            month_ms: 1_790_000_000_000,
            moments: [vec![], (0..300).collect(), (0..127).collect()],
        };
        let (first, second) = (bytes(&few), bytes(&many));
        let both = [first.clone(), second.clone()].concat();
        let mut row = KeptRow::default();
        assert_eq!(read_row(&both, &mut row), Some(first.len()));
        assert_eq!(row, few);
        assert_eq!(read_row(&both[first.len()..], &mut row), Some(second.len()));
        assert_eq!(row, many);
        for cut in 0..second.len() {
            assert_eq!(read_row(&second[..cut], &mut row), None, "cut after {cut}");
        }
    }
}
